/* Numbers as people read them, the same wherever LSIO shows one: sizes and rates in powers of 1024, as
 * settings and sources take them, three digits of what is measured. */
#ifndef LSI_UNITS_H
#define LSI_UNITS_H

#include "ground/base.h"

struct lsi_shown {
  char text[32];
};

struct lsi_shown lsi_show_size(uint64_t bytes);        /* "4 KiB", "1.50 GiB" */
struct lsi_shown lsi_show_rate(double bytes_per_s);    /* "1.50 GiB/s" */
struct lsi_shown lsi_show_time(double seconds);        /* "12.5 ms", "2 min 5 s" */
struct lsi_shown lsi_show_count(uint64_t n);           /* "1,234,567" */

/* As a setting of memory is written: begun ones count. */
static inline uint64_t lsi_mebibytes(uint64_t bytes) { return (bytes >> 20) + ((bytes & 0xfffff) != 0); }

#endif
