/* Writes the benchmarks' data, the same bytes for the same arguments everywhere. */
#include <blosc.h>
#include <lz4frame.h>
#include <zstd.h>
#include "ref.h"

static const char usage[] =
    "gen_data f32 FILE SIZE SEED            float32 in (-1, 1), smooth with noise\n"
    "gen_data lz4|blosc|smooth|zstd FILE SIZE SEED CHUNK NPY  the same, as frames of CHUNK decoded bytes\n"
    "                                       (inner blocks of 256 KiB; zstd of level 1; smooth: blosc\n"
    "                                       of a field with less noise); NPY gets int64\n"
    "                                       (N,3): 0, offset, length\n"
    "gen_data small DIR SIZE SEED FOLDERS FILES  DIR/000/000000.bin and so on: FILES files of SIZE in\n"
    "                                       each of FOLDERS folders\n"
    "SIZE is decoded bytes. The file appears under its name when it is complete.\n";

enum { BLOCK = 1 << 20 };

static uint64_t next(uint64_t *state) { /* splitmix64 */
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* A triangle wave of long period plus noise of 5 bits, in steps of 1/4096: lz4 halves it, about as it
 * does measured data. Integer arithmetic up to the last step keeps it the same on every machine. */
static void fill(float *x, uint64_t n, uint64_t *state) {
  const int64_t phase = (int64_t)(next(state) & 0xffff);
  for (uint64_t i = 0; i < n; ++i) {
    static const int64_t period = 1 << 16;
    const int64_t at = (int64_t)((i / 16 + (uint64_t)phase) & (uint64_t)(period - 1));
    const int64_t wave = (at < period / 2 ? at : period - at) / 4 - period / 16;
    const int64_t noise = i % 4 ? 0 : (int64_t)(next(state) & 31) - 16;
    x[i] = (float)(wave + noise) / 4200.0f;
  }
}

/* A field that rises and falls slowly, in steps of 1/64: shuffled, it shrinks to a sixth or less. */
static void fill_smooth(float *x, uint64_t n, uint64_t *state) {
  int64_t v = 17920 + (int64_t)(next(state) & 1023);
  for (uint64_t i = 0, bits = 0; i < n; ++i, bits >>= 1) {
    if (i % 64 == 0) bits = next(state);
    v += (i >> 13 & 1) ? -(int64_t)(bits & 1) : (int64_t)(bits & 1);
    x[i] = (float)v / 64.0f;
  }
}

static void put(int fd, const void *data, size_t n, const char *path) {
  for (const char *p = data; n;) {
    const ssize_t k = write(fd, p, n);
    if (k < 0) ref_die("%s: %s", path, strerror(errno));
    p += k;
    n -= (size_t)k;
  }
}

static int create(const char *path, char *temp, size_t size) {
  snprintf(temp, size, "%s.part", path);
  const int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) ref_die("%s: %s", temp, strerror(errno));
  return fd;
}

static void publish(int fd, const char *temp, const char *path) {
  if (fdatasync(fd) || close(fd) || rename(temp, path)) ref_die("%s: %s", path, strerror(errno));
}

static void write_npy(const char *path, const int64_t *rows, uint64_t n) {
  char temp[4096], header[128];
  memset(header, ' ', sizeof header);
  memcpy(header, "\x93NUMPY\x01\x00", 8);
  header[8] = (char)(sizeof header - 10);
  header[9] = 0;
  char text[100];
  const int k = snprintf(text, sizeof text, "{'descr': '<i8', 'fortran_order': False, 'shape': (%"
                         PRIu64 ", 3), }", n);
  memcpy(header + 10, text, (size_t)k);
  header[sizeof header - 1] = '\n';
  const int fd = create(path, temp, sizeof temp);
  put(fd, header, sizeof header, temp);
  put(fd, rows, n * 24, temp);
  publish(fd, temp, path);
}

/* One frame; bytes written. */
static size_t encode(const char *codec, const float *x, uint64_t chunk, char *out, size_t cap) {
  if (!strcmp(codec, "blosc") || !strcmp(codec, "smooth")) { /* a block is `blocksize` elements where blocks are split */
    const int k = blosc_compress_ctx(5, BLOSC_SHUFFLE, 4, chunk, x, out, cap, "lz4", 64 << 10, 1);
    return k > 0 ? (size_t)k : 0;
  }
  if (!strcmp(codec, "zstd")) {
    const size_t k = ZSTD_compress(out, cap, x, chunk, 1);
    return ZSTD_isError(k) ? 0 : k;
  }
  LZ4F_preferences_t prefs = {.frameInfo = {.blockSizeID = LZ4F_max256KB,
                                            .blockMode = LZ4F_blockIndependent,
                                            .contentSize = chunk}};
  const size_t k = LZ4F_compressFrame(out, cap, x, chunk, &prefs);
  return LZ4F_isError(k) ? 0 : k;
}

static void write_chunks(const char *codec, int fd, const char *path, uint64_t size, uint64_t state,
                         uint64_t chunk, const char *npy) {
  const size_t cap = LZ4F_compressFrameBound(chunk, NULL) + (chunk >> 7) + 4096;
  float *x = ref_alloc(chunk);
  char *out = ref_alloc(cap);
  int64_t *rows = ref_alloc((size / chunk + 1) * 24), at = 0;
  uint64_t n = 0;
  for (; n < size / chunk; ++n) {
    (strcmp(codec, "smooth") ? fill : fill_smooth)(x, chunk / 4, &state);
    const size_t k = encode(codec, x, chunk, out, cap);
    if (!k) ref_die("%s does not encode", codec);
    put(fd, out, k, path);
    rows[3 * n] = 0;
    rows[3 * n + 1] = at;
    rows[3 * n + 2] = (int64_t)k;
    at += (int64_t)k;
  }
  write_npy(npy, rows, n);
}

/* The files of a folder are made one after the other, as a program that collects samples does. */
static void write_small(const char *dir, uint64_t size, uint64_t state, uint64_t folders,
                        uint64_t files) {
  char path[4096];
  float *x = ref_alloc(size);
  if (mkdir(dir, 0777) && errno != EEXIST) ref_die("%s: %s", dir, strerror(errno));
  for (uint64_t i = 0; i < folders * files; ++i) {
    const uint64_t folder = i / files;
    snprintf(path, sizeof path, "%s/%03" PRIu64, dir, folder);
    if (i % files == 0 && mkdir(path, 0777) && errno != EEXIST)
      ref_die("%s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "%s/%03" PRIu64 "/%06" PRIu64 ".bin", dir, folder, i);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) ref_die("%s: %s", path, strerror(errno));
    fill(x, size / 4, &state);
    put(fd, x, size, path);
    if (close(fd)) ref_die("%s: %s", path, strerror(errno));
  }
  sync();
}

int main(int argc, char **argv) {
  char temp[4096];
  if (argc == 2 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
  if (argc == 7 && !strcmp(argv[1], "small")) {
    write_small(argv[2], ref_size(argv[3]), strtoull(argv[4], NULL, 10),
                strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
    return 0;
  }
  const bool coded = argc == 7 && (!strcmp(argv[1], "lz4") || !strcmp(argv[1], "blosc") ||
                                   !strcmp(argv[1], "smooth") || !strcmp(argv[1], "zstd"));
  if (!coded && (argc != 5 || strcmp(argv[1], "f32"))) ref_die("%s", usage);
  const uint64_t size = ref_size(argv[3]);
  uint64_t state = strtoull(argv[4], NULL, 10);
  const int fd = create(argv[2], temp, sizeof temp);
  if (coded) {
    const uint64_t chunk = ref_size(argv[5]);
    if (!chunk || chunk % 4) ref_die("%s", usage);
    write_chunks(argv[1], fd, temp, size, state, chunk, argv[6]);
  } else {
    float *x = ref_alloc(BLOCK);
    for (uint64_t at = 0; at < size; at += BLOCK) {
      const uint64_t k = size - at < BLOCK ? size - at : BLOCK;
      fill(x, k / 4, &state);
      put(fd, x, k, temp);
    }
  }
  publish(fd, temp, argv[2]);
  return 0;
}
