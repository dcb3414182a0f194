/* SHA-256 by OpenSSL. A hash belongs to one thread at a time. Functions that fail give a negative
 * LSIO_ERR_* with *err filled; then reset() makes the hash usable again. */
#ifndef LSI_HASH_H
#define LSI_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lsi_error;
struct lsi_sha256;

/* An empty one; NULL and *err when OpenSSL has no SHA-256 or no memory. */
struct lsi_sha256 *lsi_sha256_create(struct lsi_error *err);
void lsi_sha256_free(struct lsi_sha256 *h); /* NULL is fine */
/* Empty again, in the same memory. */
int lsi_sha256_reset(struct lsi_sha256 *h, struct lsi_error *err);
/* Adds n bytes. */
int lsi_sha256_update(struct lsi_sha256 *h, const void *src, size_t n, struct lsi_error *err);
/* Writes the hash of what was added so far; more may be added. */
int lsi_sha256_digest(struct lsi_sha256 *h, uint8_t out[32], struct lsi_error *err);

/* 2 n lower-case hexadecimal digits without a terminator; `backwards` begins with the last byte, as
 * numbers in little-endian order are written. */
void lsi_hex(const uint8_t *bytes, size_t n, bool backwards, char *text);

#endif
