/**
 * The worker of a thread, by an address beside the page's: a service worker gives headers, and so isolation, only to workers
 * whose script lies where it may look.
 */
import '../js/engine/worker.js';
