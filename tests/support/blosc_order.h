/* Brings the blocks of a blosc frame into another order. */
#ifndef LSI_TEST_BLOSC_ORDER_H
#define LSI_TEST_BLOSC_ORDER_H

#include <stdint.h>

/* As a writer would have stored them whose threads finished them so: up to `far` blocks from their places.
 * draw: 0 .. n-1. The frame must be one that shrank, of one thread. */
void blosc_disorder(uint8_t *frame, uint32_t far, uint32_t (*draw)(void *ctx, uint32_t n), void *ctx);

#endif
