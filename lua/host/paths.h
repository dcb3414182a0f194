/* A growing list of paths, flat: one block of text and offsets into it. Not thread-safe. */
#ifndef LSI_LUA_PATHS_H
#define LSI_LUA_PATHS_H

#include <stdbool.h>
#include <stddef.h>

struct lsi_error;
struct lsi_names;
struct lsi_paths;

struct lsi_watch;

/* `watch` (borrowed, may be NULL) is told how far patterns are. NULL: no memory. */
struct lsi_paths *lsi_paths_create(struct lsi_watch *watch);
void lsi_paths_free(struct lsi_paths *p);
/* URLs become the names that their store has for them, here and below. */
int lsi_paths_add(struct lsi_paths *p, const char *path, struct lsi_error *err);
/* A plain path as it is, or a pattern in whose place lsi_paths_expand puts what it matches. */
int lsi_paths_later(struct lsi_paths *p, const char *pattern, struct lsi_error *err);
/* A pattern that finds nothing is then only told to the watch. */
void lsi_paths_allow_none(struct lsi_paths *p, bool allow);
int lsi_paths_expand(struct lsi_paths *p, struct lsi_error *err);
/* The lines of a file ("-": standard input), without their ends and a byte order mark before the first one,
 * or (`nul`) what ends with a NUL, as it is; empty ones are left out. */
int lsi_paths_list(struct lsi_paths *p, const char *file, bool nul, struct lsi_error *err);
/* A whole object in memory (lsi_free); `watch` may be NULL. Lists are refused when they take more than a
 * quarter of the memory that there is, or a line of them is longer than any path. */
enum lsi_paths_text { LSI_TEXT_LINES, LSI_TEXT_NULS, LSI_TEXT_RANGES, LSI_TEXT_DICTIONARY };
int lsi_paths_read(struct lsi_watch *watch, const char *name, enum lsi_paths_text kind, char **text,
                   size_t *length, struct lsi_error *err);
/* Bytewise. LSIO_ERR_NOMEM leaves it as it was. */
int lsi_paths_sort(struct lsi_paths *p, struct lsi_error *err);
size_t lsi_paths_count(const struct lsi_paths *p);
/* True when the list of its folder said that the i-th is a regular file. */
bool lsi_paths_regular(const struct lsi_paths *p, size_t i);
/* All of them, for who may take them over (lsi_request_take_names). */
struct lsi_names *lsi_paths_names(struct lsi_paths *p);
/* Pointers to all of them, valid until the list changes; lsi_free. NULL: no memory. */
const char **lsi_paths_array(const struct lsi_paths *p);

#endif
