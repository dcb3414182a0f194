/* The only place in LSIO that calls malloc and free, so that tests can make the N-th call fail and
 * count what is still alive. Thread-safe. Every function returns NULL when memory is short; sizes are
 * checked for overflow. */
#ifndef LSI_MEM_H
#define LSI_MEM_H

#include "ground/base.h"

void *lsi_malloc(size_t size);
void *lsi_calloc(size_t count, size_t size);
void *lsi_realloc(void *p, size_t size);
/* NULL on overflow of count * size too. */
void *lsi_reallocarray(void *p, size_t count, size_t size);
char *lsi_strdup(const char *s);
char *lsi_strndup(const char *s, size_t n);
/* Zeroed, aligned to `align` (a power of two, at least sizeof(void *)). Free with lsi_free. */
void *lsi_alloc_aligned(size_t align, size_t size);
void lsi_free(void *p);

/* Tests only: the n-th allocation from now (1 = the next) returns NULL; `forever` makes all later
 * ones fail too. n = 0 switches it off. */
void lsi_mem_fail_nth(uint64_t n, bool forever);
/* Blocks handed out and not freed, and the number of allocations ever made. */
int64_t lsi_mem_live(void);
uint64_t lsi_mem_calls(void);

#endif
