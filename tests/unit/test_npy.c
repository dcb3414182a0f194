/* Headers of .npy files: read, written, compared with numpy; lists of ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "lists/npy.h"

static struct lsi_error error;

/* A file of `version` with that header text; returns its length. */
static size_t make(char *buf, int version, const char *text, size_t n) {
  memcpy(buf, "\x93NUMPY", 6);
  buf[6] = (char)version;
  buf[7] = 0;
  size_t start = version == 1 ? 10 : 12;
  for (size_t i = 0; i < start - 8; i++) buf[8 + i] = (char)(n >> 8 * i);
  memcpy(buf + start, text, n);
  return start + n;
}

static int read_bytes(const void *bytes, size_t n, struct lsi_npy_header *h) {
  char *copy = lsi_malloc(n ? n : 1); /* of exactly that size, for the sanitizers */
  assert_non_null(copy);
  memcpy(copy, bytes, n);
  lsi_error_clear(&error);
  int rc = lsi_npy_read_header(copy, n, "x.npy", h, &error);
  lsi_free(copy);
  assert_int_equal(rc, error.code);
  return rc;
}

static int read_text(int version, const char *text, struct lsi_npy_header *h) {
  static char buf[65536];
  return read_bytes(buf, make(buf, version, text, strlen(text)), h);
}

static void versions_and_spellings(void **state) {
  (void)state;
  static const char *const texts[] = {
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
      "{\"shape\":(2,3,),\"fortran_order\":False,\"descr\":\"<f4\"}\n",
      " { 'fortran_order' :False , 'descr':\t'<f4'\n, 'shape' : ( 2L , 3L ) , } ",
  };
  for (size_t i = 0; i < LSI_COUNTOF(texts); i++)
    for (int version = 1; version <= 3; version++) {
      struct lsi_npy_header h;
      if (read_text(version, texts[i], &h)) fail_msg("%zu: %s", i, error.what);
      assert_int_equal(h.type.type, LSI_F32);
      assert_false(h.type.big);
      assert_false(h.fortran);
      assert_int_equal(h.ndim, 2);
      assert_int_equal(h.shape[0], 2);
      assert_int_equal(h.shape[1], 3);
      assert_int_equal(h.count, 6);
      assert_int_equal(h.data_offset, (version == 1 ? 10 : 12) + strlen(texts[i]));
    }
}

static void shapes(void **state) {
  (void)state;
  struct lsi_npy_header h;
  assert_int_equal(read_text(1, "{'descr': '>i2', 'fortran_order': True, 'shape': ()}", &h), 0);
  assert_true(h.fortran && h.type.big && h.type.type == LSI_I16);
  assert_int_equal(h.ndim, 0);
  assert_int_equal(h.count, 1);
  assert_int_equal(read_text(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (7,)}", &h), 0);
  assert_int_equal(h.ndim, 1);
  assert_int_equal(h.count, 7);
  assert_int_equal(read_text(1, "{'descr': '<f8', 'fortran_order': False, "
                                "'shape': (9223372036854775807, 9223372036854775807, 0)}", &h), 0);
  assert_int_equal(h.count, 0);
  assert_int_equal(read_text(1, "{'descr': '|i1', 'fortran_order': False, "
                                "'shape': (9223372036854775807,)}", &h), 0);
  assert_int_equal(h.count, INT64_MAX);
}

#define TAIL "'fortran_order': False, 'shape': (2,)}"

static void hostile_headers(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int code;
    const char *says;
  } cases[] = {
      {"", LSIO_ERR_CORRUPT, "not a dictionary"},
      {"{}", LSIO_ERR_CORRUPT, "lacks"},
      {"{'descr': '<f4'", LSIO_ERR_CORRUPT, "not a dictionary"},
      {"{'descr': '<f4', " TAIL "x", LSIO_ERR_CORRUPT, "goes on"},
      {"{'descr': '<f4', 'descr': '<f4', " TAIL, LSIO_ERR_CORRUPT, "too many"},
      {"{'descr': '<f4', 'x': 1, " TAIL, LSIO_ERR_CORRUPT, "too many"},
      {"{'descr' '<f4', " TAIL, LSIO_ERR_CORRUPT, "not a dictionary"},
      {"{'descr': '<f4' " TAIL, LSIO_ERR_CORRUPT, "not a dictionary"},
      {"{,'descr': '<f4', " TAIL, LSIO_ERR_CORRUPT, "not a dictionary"},
      {"{'descr': '<f4, " TAIL, LSIO_ERR_USAGE, "type"},
      {"{'descr': '<f4", LSIO_ERR_CORRUPT, "neither a type"},
      {"{'descr': 4, " TAIL, LSIO_ERR_CORRUPT, "neither a type"},
      {"{'descr': '\\x3cf4', " TAIL, LSIO_ERR_CORRUPT, "neither a type"},
      {"{'descr': [('a', '<f4')], " TAIL, LSIO_ERR_USAGE, "a structure"},
      {"{'descr': '|O', " TAIL, LSIO_ERR_USAGE, "|O"},
      {"{'descr': '<f2', " TAIL, LSIO_ERR_USAGE, "<f2"},
      {"{'descr': '<U10', " TAIL, LSIO_ERR_USAGE, "<U10"},
      {"{'descr': '', " TAIL, LSIO_ERR_USAGE, "type"},
      {"{'descr': 'f32', " TAIL, LSIO_ERR_USAGE, "f32"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", LSIO_ERR_CORRUPT, "True nor False"},
      {"{'descr': '<f4', 'fortran_order': Fals", LSIO_ERR_CORRUPT, "True nor False"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': 2}", LSIO_ERR_CORRUPT, "not a tuple"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", LSIO_ERR_CORRUPT, "not a tuple"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': [2]}", LSIO_ERR_CORRUPT, "not a tuple"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", LSIO_ERR_CORRUPT, "comma"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", LSIO_ERR_CORRUPT, "whole numbers"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", LSIO_ERR_CORRUPT, "whole numbers"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,", LSIO_ERR_CORRUPT, "whole numbers"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", LSIO_ERR_CORRUPT,
       "64 bits"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", LSIO_ERR_CORRUPT,
       "64 bits"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2)}",
       LSIO_ERR_CORRUPT, "larger than any file"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
       LSIO_ERR_CORRUPT, "larger than any file"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,)}", LSIO_ERR_CORRUPT,
       "larger than any file"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
       "1,1,1,1,1,1,1,1,1,1,1,1,1)}", LSIO_ERR_CORRUPT, "32 dimensions"},
  };
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    struct lsi_npy_header h;
    int rc = read_text(1, cases[i].text, &h);
    if (rc != cases[i].code || !strstr(error.what, cases[i].says))
      fail_msg("case %zu: %d '%s' does not say '%s'", i, rc, error.what, cases[i].says);
  }
}

static void hostile_prefixes(void **state) {
  (void)state;
  struct lsi_npy_header h;
  char buf[4096];
  int64_t shape[2] = {2, 3};
  size_t n = lsi_npy_write_header(buf, sizeof buf, (struct lsi_dtype){LSI_F32, false}, 2, shape);
  assert_int_equal(n, 4096);
  for (size_t cut = 0; cut < n; cut++)
    assert_int_equal(read_bytes(buf, cut, &h), LSIO_ERR_CORRUPT);
  assert_int_equal(read_bytes(buf, n, &h), 0);
  buf[6] = 4;
  assert_int_equal(read_bytes(buf, n, &h), LSIO_ERR_CORRUPT);
  buf[6] = 0;
  assert_int_equal(read_bytes(buf, n, &h), LSIO_ERR_CORRUPT);
  buf[6] = 2;
  memcpy(buf + 8, "\xFF\xFF\xFF\xFF", 4);
  assert_int_equal(read_bytes(buf, n, &h), LSIO_ERR_CORRUPT);
  assert_non_null(strstr(error.what, "1 MiB"));
  buf[0] = 'x';
  assert_int_equal(read_bytes(buf, n, &h), LSIO_ERR_CORRUPT);
}

static void damaged_headers(void **state) {
  (void)state;
  const char *given = getenv("LSIO_TEST_SEED");
  const uint64_t seed = given ? strtoull(given, NULL, 0) | 1 : 0x2545F4914F6CDD1Du;
  uint64_t rng = seed;
  char buf[256], damaged[256];
  static const char text[] = "{'descr': '<i8', 'fortran_order': False, 'shape': (12, 34, 5), }  \n";
  for (int i = 0; i < 20000; i++) {
    size_t n = make(buf, 1 + i % 3, text, sizeof text - 1);
    memcpy(damaged, buf, n);
    for (int k = 0; k < 3; k++) {
      rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
      damaged[(rng >> 8) % n] ^= (char)(1u << (rng & 7));
    }
    struct lsi_npy_header h;
    int rc = read_bytes(damaged, n, &h);
    if (rc != 0 && rc != LSIO_ERR_CORRUPT && rc != LSIO_ERR_USAGE)
      fail_msg("seed %#llx, try %d: %d", (unsigned long long)seed, i, rc);
    if (rc == 0 && (h.data_offset > n || h.ndim > 32 || h.type.type >= LSI_TYPE_COUNT))
      fail_msg("seed %#llx, try %d: nonsense", (unsigned long long)seed, i);
  }
}

static void write_and_read(void **state) {
  (void)state;
  char buf[5000];
  int64_t shape[33];
  for (int i = 0; i < 33; i++) shape[i] = i ? 1 : INT64_MAX / 8;
  for (int type = 0; type < LSI_TYPE_COUNT; type++)
    for (uint32_t ndim = 0; ndim <= 32; ndim++) {
      struct lsi_dtype t = {(uint8_t)type, lsi_type_size((enum lsi_type)type) > 1 && ndim & 1};
      struct lsi_npy_header h;
      size_t n = lsi_npy_write_header(buf, sizeof buf, t, ndim, shape);
      assert_int_equal(n, 4096);
      assert_int_equal(read_bytes(buf, n, &h), 0);
      assert_int_equal(h.type.type, type);
      assert_int_equal(h.type.big, t.big);
      assert_int_equal(h.ndim, ndim);
      assert_int_equal(h.count, ndim ? INT64_MAX / 8 : 1);
      assert_int_equal(h.data_offset, 4096);
    }
  struct lsi_dtype f4 = {LSI_F32, false};
  for (int i = 0; i < 33; i++) shape[i] = INT64_MAX; /* the longest text there is */
  assert_int_equal(lsi_npy_write_header(buf, sizeof buf, f4, 32, shape), 4096);
  assert_int_equal(buf[4095], '\n');
  assert_null(memchr(buf + 10, 0, 4086));
  assert_int_equal(lsi_npy_write_header(buf, sizeof buf, f4, 33, shape), 0);
  assert_int_equal(lsi_npy_write_header(buf, 4095, f4, 1, shape), 0);
  shape[0] = -1;
  assert_int_equal(lsi_npy_write_header(buf, sizeof buf, f4, 1, shape), 0);
}

/* ---- ranges ---- */

static size_t make_table(char *buf, const char *descr, bool fortran, int64_t n, int columns,
                         const int64_t *values) {
  char text[128];
  snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': %s, 'shape': (%lld, %d)}", descr,
           fortran ? "True" : "False", (long long)n, columns);
  size_t at = make(buf, 1, text, strlen(text));
  for (int64_t i = 0; i < n * columns; i++) {
    int64_t from = fortran ? i % n * columns + i / n : i;
    const int size = descr[2] - '0';
    for (int b = 0; b < size; b++)
      buf[at++] = (char)((uint64_t)values[from] >> 8 * (descr[0] == '>' ? size - 1 - b : b));
  }
  return at;
}

static int read_table(const char *bytes, size_t n, struct lsi_ranges *r) {
  char *copy = lsi_malloc(n);
  assert_non_null(copy);
  memcpy(copy, bytes, n);
  lsi_error_clear(&error);
  memset(r, 0, sizeof *r);
  int rc = lsi_npy_ranges(copy, n, "x.npy", r, &error);
  lsi_free(copy);
  assert_int_equal(rc, error.code);
  return rc;
}

static void tables(void **state) {
  (void)state;
  static const int64_t values[] = {3, -4096, 10, 7, 0, INT64_MAX, 0, INT64_MIN, 4294967294, 5, 6, -1};
  char buf[1024];
  struct lsi_ranges r;
  for (int kind = 0; kind < 4; kind++) {
    size_t n = make_table(buf, kind & 1 ? ">i8" : "<i8", kind & 2, 3, 4, values);
    if (read_table(buf, n, &r)) fail_msg("%s", error.what);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.n_objects, UINT32_MAX);
    assert_null(r.names);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(r.object[i], values[4 * i]);
      assert_int_equal(r.offset[i], values[4 * i + 1]);
      assert_int_equal(r.length[i], values[4 * i + 2]);
      assert_int_equal(r.tag[i], values[4 * i + 3]);
    }
    lsi_ranges_free(&r);
  }
  /* Other whole numbers, as far as they go. */
  static const struct {
    const char *descr;
    int64_t values[8];
  } others[] = {{"i4", {1, -4096, INT32_MAX, -1, 0, INT32_MIN, -1, INT32_MIN}},
                {"u4", {UINT32_MAX - 1, UINT32_MAX, 1u << 31, UINT32_MAX, 0, 0, 0, 7}},
                {"u8", {4294967294, INT64_MAX, INT64_MAX, INT64_MAX, 0, 0, 0, 5}}};
  for (size_t k = 0; k < 4 * LSI_COUNTOF(others); k++) {
    char descr[4];
    snprintf(descr, sizeof descr, "%c%s", k & 1 ? '>' : '<', others[k / 4].descr);
    const int64_t *v = others[k / 4].values;
    if (read_table(buf, make_table(buf, descr, k & 2, 2, 4, v), &r)) fail_msg("%s: %s", descr, error.what);
    for (int i = 0; i < 2; i++, v += 4)
      assert_true(r.object[i] == v[0] && r.offset[i] == v[1] && r.length[i] == v[2] && r.tag[i] == v[3]);
    lsi_ranges_free(&r);
  }
  static const int64_t three[] = {0, 1, -1, 3, 4, 5};
  assert_int_equal(read_table(buf, make_table(buf, "<i8", false, 2, 3, three), &r), 0);
  assert_null(r.tag);
  assert_int_equal(r.length[0], -1);
  assert_int_equal(r.length[1], 5);
  assert_int_equal(r.n_objects, 4);
  lsi_ranges_free(&r);
  assert_int_equal(read_table(buf, make_table(buf, "<i8", true, 0, 3, three), &r), 0);
  assert_int_equal(r.n, 0);
  lsi_ranges_free(&r);
}

static void wrong_tables(void **state) {
  (void)state;
  static const int64_t good[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  static const int64_t negative_object[] = {0, 0, 0, -1, 0, 0}, large[] = {4294967295, 0, 0},
                       negative_length[] = {0, 0, 0, 0, 0, -2};
  char buf[1024];
  struct lsi_ranges r;
  size_t n = make_table(buf, "<i8", false, 2, 3, good);
  for (size_t cut = 1; cut < n; cut++)
    assert_int_equal(read_table(buf, cut, &r), LSIO_ERR_CORRUPT);
  assert_int_equal(read_table(buf, n + 1, &r), LSIO_ERR_CORRUPT);
  assert_int_equal(read_table(buf, make_table(buf, "<u2", false, 2, 3, good), &r), LSIO_ERR_USAGE);
  static const struct {
    int64_t values[4];
    const char *says;
  } beyond[] = {{{-1, 0, 0, 0}, "row 0: the object is 18446744073709551615, expected 0 to 4294967294"},
                {{0, INT64_MIN, 0, 0}, "row 0: the offset is 9223372036854775808, expected 0 to 9223372036854775807"},
                {{0, 0, -1, 0}, "row 0: the length is 18446744073709551615, expected 0 to"},
                {{0, 0, 0, -2}, "row 0: the tag is 18446744073709551614, expected"}};
  for (size_t i = 0; i < 2 * LSI_COUNTOF(beyond); i++) {
    const char *descr = i & 1 ? ">u8" : "<u8";
    assert_int_equal(read_table(buf, make_table(buf, descr, false, 1, 4, beyond[i / 2].values), &r), LSIO_ERR_USAGE);
    if (!strstr(error.what, beyond[i / 2].says)) fail_msg("%s", error.what);
  }
  assert_int_equal(read_table(buf, make_table(buf, "<f8", false, 2, 3, good), &r), LSIO_ERR_USAGE);
  assert_int_equal(read_table(buf, make_table(buf, "<i8", false, 2, 2, good), &r), LSIO_ERR_USAGE);
  assert_int_equal(read_table(buf, make_table(buf, "<i8", false, 2, 5, good), &r), LSIO_ERR_USAGE);
  assert_non_null(strstr(error.what, "(N, 3) or (N, 4)"));
  assert_int_equal(read_table(buf, make_table(buf, "<i8", false, 2, 3, negative_object), &r),
                   LSIO_ERR_USAGE);
  assert_non_null(strstr(error.what, "row 1: the object is -1"));
  assert_int_equal(read_table(buf, make_table(buf, "<i8", false, 1, 3, large), &r), LSIO_ERR_USAGE);
  assert_int_equal(read_table(buf, make_table(buf, "<i8", false, 2, 3, negative_length), &r),
                   LSIO_ERR_USAGE);
  assert_non_null(strstr(error.what, "row 1: the length is -2"));
  const int64_t live = lsi_mem_live();
  n = make_table(buf, "<i8", false, 2, 4, good);
  for (uint64_t k = 1; k <= 4; k++) {
    lsi_error_clear(&error);
    lsi_mem_fail_nth(k, false);
    assert_int_equal(lsi_npy_ranges(buf, n, "x.npy", &r, &error), LSIO_ERR_NOMEM);
    lsi_mem_fail_nth(0, false);
    assert_int_equal(lsi_mem_live(), live);
  }
}

/* ---- numpy ---- */

/* Checks the files that LSIO wrote (w*.npy: zeros but for a last element of 1) and writes r*.npy. */
static const char script[] =
    "import sys\n"
    "try:\n"
    "  import numpy as np\n"
    "except ImportError:\n"
    "  sys.exit(77)\n"
    "from numpy.lib import format as fmt\n"
    "d = sys.argv[1]\n"
    "name = lambda t: t.replace('>', 'big').strip('<|')\n"
    "shape = {0: (), 1: (5,), 3: (2, 3, 4)}\n"
    "for t in sys.argv[2:]:\n"
    "  for n in shape:\n"
    "    for mode in (None, 'r'):\n"
    "      a = np.load('%s/w%s%d.npy' % (d, name(t), n), mmap_mode=mode)\n"
    "      assert a.dtype == np.dtype(t) and a.shape == shape[n], (t, n, a.dtype, a.shape)\n"
    "      assert a.flags.c_contiguous and a.flat[a.size - 1] == 1 and a.sum() == 1, (t, n)\n"
    "      assert mode is None or n == 0 or a.offset == 4096\n"
    "    for v in (1, 2, 3):\n"
    "      a = np.asarray(np.zeros(shape[n], t), order='F' if v == 2 else 'C')\n"
    "      with open('%s/r%s%d%d.npy' % (d, name(t), n, v), 'wb') as f:\n"
    "        fmt.write_array(f, a, version=(v, 0))\n";

static char directory[] = "/tmp/lsio_test_npy_XXXXXX";

/* A descr as it stands in file names. */
static const char *order(const char *descr) {
  static char name[8];
  snprintf(name, sizeof name, "%s%s", descr[0] == '>' ? "big" : "", descr + 1);
  return name;
}

static void write_ours(struct lsi_dtype t, uint32_t ndim) {
  static const int64_t shapes[4][3] = {{0}, {5}, {0}, {2, 3, 4}};
  static const size_t counts[] = {1, 5, 0, 24};
  char descr[4], path[64], header[4096], data[24 * 8] = {0};
  lsi_dtype_descr(t, descr);
  snprintf(path, sizeof path, "%s/w%s%u.npy", directory, order(descr), ndim);
  assert_int_equal(lsi_npy_write_header(header, sizeof header, t, ndim, shapes[ndim]), 4096);
  size_t size = lsi_type_size((enum lsi_type)t.type), bytes = size * counts[ndim];
  char *last = data + bytes - size;
  if (t.type == LSI_F32 || t.type == LSI_F64) { /* 1.0 begins with 3F 80 or 3F F0 */
    last[t.big ? 0 : size - 1] = 0x3F;
    last[t.big ? 1 : size - 2] = (char)(t.type == LSI_F32 ? 0x80 : 0xF0);
  } else {
    last[t.big ? size - 1 : 0] = 1;
  }
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(header, 1, 4096, f), 4096);
  assert_int_equal(fwrite(data, 1, bytes, f), bytes);
  assert_int_equal(fclose(f), 0);
}

static void read_theirs(const char *descr, uint32_t ndim, int version) {
  char path[64], bytes[8192];
  snprintf(path, sizeof path, "%s/r%s%u%d.npy", directory, order(descr), ndim, version);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  size_t n = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  remove(path);
  struct lsi_npy_header h;
  char got[4];
  if (read_bytes(bytes, n, &h)) fail_msg("%s: %s", path, error.what);
  lsi_dtype_descr(h.type, got);
  assert_string_equal(got, descr);
  assert_int_equal(h.ndim, ndim);
  assert_int_equal(h.fortran, version == 2 && ndim == 3);
  assert_int_equal(h.count, ndim == 0 ? 1 : ndim == 1 ? 5 : 24);
  assert_int_equal(h.data_offset + h.count * lsi_type_size((enum lsi_type)h.type.type), n);
}

static void numpy_agrees(void **state) {
  (void)state;
  static const char *const descrs[] = {"|i1", "|u1", "<i2", ">i2", "<u2", ">u4", "<i4", "<i8",
                                       ">i8", "<u8", "<f4", ">f4", "<f8", ">f8"};
  enum { N = LSI_COUNTOF(descrs) };
  static const uint32_t ndims[] = {0, 1, 3};
  if (access("/usr/bin/python3", X_OK)) skip();
  assert_non_null(mkdtemp(directory));
  for (size_t i = 0; i < N * 3; i++) {
    struct lsi_dtype t;
    assert_true(lsi_dtype_parse(descrs[i / 3], &t));
    write_ours(t, ndims[i % 3]);
  }
  const char *argv[N + 6] = {"python3", "-B", "-c", script, directory};
  memcpy(argv + 5, descrs, sizeof descrs);
  pid_t pid = fork();
  if (pid == 0) {
    execv("/usr/bin/python3", (char *const *)argv);
    _exit(1);
  }
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  for (size_t i = 0; i < N * 3; i++) {
    char path[64];
    snprintf(path, sizeof path, "%s/w%s%u.npy", directory, order(descrs[i / 3]), ndims[i % 3]);
    remove(path);
  }
  const bool absent = WIFEXITED(status) && WEXITSTATUS(status) == 77;
  if (!absent) {
    assert_int_equal(status, 0);
    for (size_t i = 0; i < N * 9; i++)
      read_theirs(descrs[i / 9], ndims[i % 3], (int)(i / 3 % 3) + 1);
  }
  assert_int_equal(rmdir(directory), 0);
  if (absent) skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(versions_and_spellings), cmocka_unit_test(shapes),
      cmocka_unit_test(hostile_headers),        cmocka_unit_test(hostile_prefixes),
      cmocka_unit_test(damaged_headers),        cmocka_unit_test(write_and_read),
      cmocka_unit_test(tables),                 cmocka_unit_test(wrong_tables),
      cmocka_unit_test(numpy_agrees),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
