/* Panels of binary16 as they lie beside the same panels widened: the same bits, at every size, in exactly sized blocks. */
#include "native.h"
#include "tile.h"

typedef struct problem {
    size_t m, panels, k, x_stride, panel_stride, y_stride;
    float *x, *wide, *y, *expected, *alpha;
    uint16_t *b;
    size_t numbers;     /* of b */
} problem;

/* Finite, one in four subnormal or zero. */
static uint16_t half(uint64_t *r)
{
    uint32_t exponent = random_below(r, 4) ? 1 + (uint32_t) random_below(r, 30) : 0;
    return (uint16_t) (random_below(r, 2) << 15 | exponent << 10 | random_below(r, 1024));
}

/* Panels one behind the other, with something between them. */
static problem make(uint64_t *r, size_t m, size_t panels, size_t k)
{
    problem p = {
        .m = m, .panels = panels, .k = k, .x_stride = k + random_below(r, 3), .y_stride = panels * CMHA_PANEL + random_below(r, 3),
        .panel_stride = k * CMHA_PANEL + random_below(r, 3),
    };
    p.numbers = (panels - 1) * p.panel_stride + k * CMHA_PANEL;
    p.x = floats(r, (m - 1) * p.x_stride + k);
    p.x[random_below(r, k)] = (float[4]) { 65535.0f, -1e-40f, 0.0f, 1.0f }[random_below(r, 4)];
    p.y = floats(r, (m - 1) * p.y_stride + panels * CMHA_PANEL);
    p.expected = unset((m - 1) * p.y_stride + panels * CMHA_PANEL);
    memcpy(p.expected, p.y, ((m - 1) * p.y_stride + panels * CMHA_PANEL) * sizeof *p.y);
    p.alpha = random_below(r, 2) ? floats(r, m) : NULL;
    p.b = malloc(p.numbers * sizeof *p.b);
    p.wide = unset(p.numbers);
    for (size_t i = 0; i < p.numbers; i++) p.b[i] = half(r);
    cmha_widen_f16(p.wide, p.b, p.numbers);
    return p;
}

static int run(const problem *p)
{
    return tile_f16(p->m, p->panels, p->k, p->x, p->x_stride, p->b, p->panel_stride, p->y, p->y_stride, p->alpha);
}

static void check_same(const problem *p, const char *what)
{
    size_t n = (p->m - 1) * p->y_stride + p->panels * CMHA_PANEL;
    CHECK(memcmp(p->y, p->expected, n * sizeof *p->y) == 0, "%s: %zu rows, %zu panels, %zu", what, p->m, p->panels, p->k);
}

static void check(uint64_t *r, size_t m, size_t panels, size_t k)
{
    problem p = make(r, m, panels, k);
    /* Declined, wherever the reason lies, and nothing is touched. */
    size_t j = random_below(r, k), at = j * CMHA_PANEL + random_below(r, panels) * p.panel_stride + random_below(r, CMHA_PANEL);
    uint16_t was = p.b[at];
    float x = p.x[j];
    for (int i = 0; i < 4; i++) {
        p.b[at] = (uint16_t[4]) { 0x7c00, 0xfc00, 0x7e00, 0xffff }[i];
        CHECK(run(&p) == 0, "%x is not finite", p.b[at]);
    }
    p.b[at] = was;
    for (int i = 0; i < 4; i++) {
        p.x[j] = (float[4]) { 65536.0f, -3e38f, INFINITY, NAN }[i];
        CHECK(run(&p) == 0, "%g is too large", p.x[j]);
    }
    p.x[j] = x;
    check_same(&p, "declined");
    CHECK(run(&p) == 1, "all is finite");
    tile_f32(m, panels, k, p.x, p.x_stride, p.wide, CMHA_PANEL, p.panel_stride, p.expected, p.y_stride, p.alpha);
    check_same(&p, "as they lie");
    free(p.x); free(p.wide); free(p.y); free(p.expected); free(p.alpha); free(p.b);
}

int main(void)
{
    uint64_t r = 5;
    for (size_t m = 1; m <= TILE_ROWS; m++) {
        for (size_t panels = 1; panels <= 32; panels += panels < 9 ? 1 : 7) {
            for (size_t k = 1; k <= CMHA_PAGE; k += k < 9 ? 1 : 31) check(&r, m, panels, k);
            check(&r, m, panels, CMHA_PAGE);
        }
    }
    return 0;
}
