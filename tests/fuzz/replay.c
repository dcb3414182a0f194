/* Runs a fuzz target over kept inputs, with any compiler: every file of the folders named, each also cut
 * short and with single bits turned, the same ones every time. Fails when there is no file at all. */
#include <dirent.h>

#include "fuzz.h"

#define VARIANTS 24u /* of each input */

static uint64_t rng = 0x9e3779b97f4a7c15u;

static size_t next(size_t n) {
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return (size_t)(rng % n);
}

/* Memory of exactly n bytes, so that AddressSanitizer sees a read past them. */
static void run(const uint8_t *data, size_t n, size_t turned) {
  uint8_t *copy = malloc(n ? n : 1);
  FUZZ_CHECK(copy);
  memcpy(copy, data, n);
  if (turned < 8 * n) copy[turned / 8] ^= (uint8_t)(1u << turned % 8);
  LLVMFuzzerTestOneInput(copy, n);
  free(copy);
}

static void replay(const char *path) {
  FILE *f = fopen(path, "rb");
  FUZZ_CHECK(f);
  static uint8_t data[1 << 20];
  const size_t n = fread(data, 1, sizeof data, f);
  FUZZ_CHECK(!ferror(f) && feof(f));
  fclose(f);
  run(data, n, SIZE_MAX);
  for (unsigned i = 0; i < VARIANTS && n; i++) {
    run(data, next(n), SIZE_MAX);
    run(data, n, next(8 * n));
  }
}

int main(int argc, char **argv) {
  unsigned files = 0;
  for (int i = 1; i < argc; i++) {
    DIR *dir = opendir(argv[i]);
    if (!dir) {
      fprintf(stderr, "there is no folder %s\n", argv[i]);
      return 1;
    }
    for (struct dirent *e; (e = readdir(dir));) {
      char path[4096];
      if (e->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
      replay(path);
      files++;
    }
    closedir(dir);
  }
  printf("%u inputs\n", files);
  return files ? 0 : 1;
}
