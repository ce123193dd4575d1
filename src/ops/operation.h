/* operation.h: what program.c needs to know of an operation; not exported.
 *
 * An operation is cut into tasks by its arguments alone; task i computes part i, whoever runs it and with which others. */
#ifndef CMHA_OPERATION_H
#define CMHA_OPERATION_H

#include "cmha.h"

typedef struct operation {
    size_t (*tasks)(const void *arguments);
    /* Tasks first, ..., end - 1. */
    void (*run)(const void *arguments, size_t first, size_t end, size_t thread);
    /* Multiply-adds, about. */
    double (*work)(const void *arguments);
    /* Bytes of scratch for so many threads; NULL: none. */
    double (*scratch)(const void *arguments, size_t threads);
    /* Kind of the operation that has to follow with the same arguments, or 0; NULL: none ever. */
    uint32_t (*next)(const void *arguments);
} operation;

#define X(KIND, object, arguments) extern const operation object;
CMHA_OPERATIONS(X)
#undef X

#endif
