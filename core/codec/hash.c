#include "codec/hash.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "ground/err.h"
#include "ground/mem.h"
#include "lsio.h"

struct lsi_sha256 {
  EVP_MD *method;      /* fetched once: a fetch for each hash would cost more than a small file */
  EVP_MD_CTX *context;
  EVP_MD_CTX *spare;   /* where a digest is finished, since that ends a context */
};

/* OpenSSL keeps its reasons in a queue of the thread. */
static int failed(struct lsi_error *err, const char *doing) {
  char reason[160] = "no reason given";
  unsigned long code = ERR_get_error();
  if (code != 0)
    ERR_error_string_n(code, reason, sizeof reason);
  ERR_clear_error();
  int rc = lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "OpenSSL could not %s: %s", doing, reason);
  lsi_error_remedy(err, "see whether `openssl dgst -sha256` works here; a configuration of "
                        "OpenSSL may forbid the algorithm");
  return rc;
}

struct lsi_sha256 *lsi_sha256_create(struct lsi_error *err) {
  struct lsi_sha256 *h = lsi_calloc(1, sizeof *h);
  if (!h) {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a SHA-256");
    return NULL;
  }
  h->method = EVP_MD_fetch(NULL, "SHA256", NULL);
  h->context = EVP_MD_CTX_new();
  h->spare = EVP_MD_CTX_new();
  if (!h->method || !h->context || !h->spare || !EVP_DigestInit_ex2(h->context, h->method, NULL)) {
    failed(err, "begin a SHA-256");
    lsi_sha256_free(h);
    return NULL;
  }
  return h;
}

void lsi_sha256_free(struct lsi_sha256 *h) {
  if (!h)
    return;
  EVP_MD_CTX_free(h->spare);
  EVP_MD_CTX_free(h->context);
  EVP_MD_free(h->method);
  lsi_free(h);
}

int lsi_sha256_reset(struct lsi_sha256 *h, struct lsi_error *err) {
  return EVP_DigestInit_ex2(h->context, h->method, NULL) ? 0 : failed(err, "begin a SHA-256");
}

int lsi_sha256_update(struct lsi_sha256 *h, const void *src, size_t n, struct lsi_error *err) {
  return EVP_DigestUpdate(h->context, src, n) ? 0 : failed(err, "add to a SHA-256");
}

int lsi_sha256_digest(struct lsi_sha256 *h, uint8_t out[32], struct lsi_error *err) {
  unsigned length = 0;
  if (!EVP_MD_CTX_copy_ex(h->spare, h->context) || !EVP_DigestFinal_ex(h->spare, out, &length) ||
      length != 32)
    return failed(err, "finish a SHA-256");
  return 0;
}

void lsi_hex(const uint8_t *bytes, size_t n, bool backwards, char *text) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; i++) {
    uint8_t b = bytes[backwards ? n - 1 - i : i];
    text[2 * i] = digits[b >> 4];
    text[2 * i + 1] = digits[b & 15];
  }
}
