/* The backend `sim` and its store: objects made of a formula, or of a test's bytes, and faults drawn from one
 * seed. For tests.
 *
 * Fault model
 *   bad blocks    4 KiB blocks that always answer EIO; a read that begins before one may get the bytes
 *                 in front of it (a short read) or EIO at once
 *   short reads   fewer bytes than asked, at least one
 *   short writes  fewer bytes than given, whole sectors or none (which means: no room)
 *   write errors  EIO, ENOSPC or EDQUOT; what is written goes where the test's `put` puts it
 *   again         EAGAIN or EINTR, which go away when asked again
 *   delays        completions come back in an order drawn from the seed (virtual time, no sleeping), or at
 *                 times of a test's clock
 *   full          submit takes only a part
 *   descriptors   open answers EMFILE while another object is open
 *   changed       an object that is another one (version) when it is opened or closed
 *   restless      an object is being written to when it is opened
 *   changing      an object that is modified at some moment after it was opened: from then on reads bring
 *                 other bytes, and looks tell it
 *   truncated     an object that ends earlier than stat said
 *   missing       an object that is not there; and one that is gone when it is to be opened
 * What lies behind an object's end in a buffer is overwritten with garbage, as O_DIRECT does.
 *
 * Checked all the time, abort() on violation: at most `cap` operations in flight per device over all
 * instances; an operation lies in memory as the memory rule says (objects are direct under
 * LSI_DIRECT_ALWAYS), writes are whole sectors from aligned memory; nothing is in flight at destroy. */
#ifndef LSI_SIM_H
#define LSI_SIM_H

#include <stdatomic.h>

#include "seams/store.h"

#define LSI_SIM_DEVICES 4

struct lsi_sim_object {
  char name[32];
  uint64_t size;      /* as stat tells it; LSI_ENDLESS: where it ends shows when it is read, in any order */
  uint64_t real_size; /* < size: truncated after planning */
  uint32_t device;
  bool changed_at_open, changed_at_close;
  bool changing;
  bool missing, gone;
  const uint8_t *bytes; /* `size` of them, borrowed; NULL: the formula's */
};

struct lsi_sim {
  uint64_t seed;
  struct lsi_sim_object *objects;
  uint32_t n_objects;
  uint32_t cap[LSI_SIM_DEVICES]; /* 0 = none; by device number */
  /* chances in 1,000 */
  uint32_t bad_block, short_read, again, full, emfile, short_write, write_error;
  uint32_t final;                /* that a bad block is known to be bad for ever */
  uint32_t restless;             /* that an object which must settle is said to be written to */
  uint32_t whole;                /* that a small object to which nothing happens is read as it is opened */
  uint32_t delay_max;            /* virtual time units; 0 = in order */
  bool by_clock;                 /* they are nanoseconds of lsi_os_now_ns(): nothing comes back before */
  /* Puts what is written to an output: the bytes taken, or -errno. Any thread. NULL: nothing is written. */
  int64_t (*put)(const struct lsi_handle *output, const void *data, uint64_t length, uint64_t offset);
  /* counted */
  atomic_uint in_flight[LSI_SIM_DEVICES];
  atomic_uint instances;
  atomic_uint_fast64_t operations, beside, emfiles, writes_failed, wholes, rests;
  atomic_uint_fast64_t next_ns;  /* by_clock: when the next one comes back, of those asked for in vain */
};

/* What the store tells of the i-th object. */
struct lsi_object_info lsi_sim_info(const struct lsi_sim_object *o, uint32_t i);
uint8_t lsi_sim_byte(const struct lsi_sim *sim, uint32_t object, uint64_t offset);
bool lsi_sim_bad(const struct lsi_sim *sim, uint32_t object, uint64_t offset, uint64_t length);

extern const struct lsi_backend_ops lsi_backend_sim;
extern const struct lsi_store lsi_store_sim;
extern const struct lsi_store *const lsi_sim_stores[]; /* for a run over it alone */

#endif
