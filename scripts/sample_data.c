/* Writes a deterministic data set: DIR/0000.f32.lz4 and on, each 1 MiB of float32 in one lz4 frame that
 * says its decoded size. The values look like those of an instrument: counts of 12 bits that wander,
 * stay for a few samples, and are scaled to [0, 1), so that lz4
 * makes a third of them.
 *
 *   sample_data DIR FILES
 *
 * Integer arithmetic only, so every machine writes the same values. A file that is there is kept. */
#include <errno.h>
#include <lz4frame.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { VALUES = 1 << 18, COUNTS = 4096, MAX_FILES = 1 << 16 };

static uint32_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

static void fill(float *values, uint64_t file) {
  uint64_t state = file * 0x9e3779b97f4a7c15u + 1;
  int count = (int)(next_random(&state) % COUNTS);
  size_t i = 0;
  while (i < VALUES) {
    uint32_t r = next_random(&state);
    count += (int)(r & 63) + (int)(r >> 12 & 1) - 32; /* as often up as down */
    if (count < 0) count = -count;
    if (count >= COUNTS) count = 2 * (COUNTS - 1) - count;
    for (size_t stay = 1 + (r >> 6 & 3); stay && i < VALUES; stay--)
      values[i++] = (float)count / COUNTS;
  }
}

/* Under a temporary name first: what has its name is complete. */
static int write_file(const char *path, const void *data, size_t size) {
  char temporary[4200];
  snprintf(temporary, sizeof temporary, "%s.part", path);
  FILE *f = fopen(temporary, "wb");
  if (!f) return -1;
  size_t written = fwrite(data, 1, size, f);
  if (fclose(f) != 0 || written != size || rename(temporary, path) != 0) {
    remove(temporary);
    return -1;
  }
  return 0;
}

int main(int argc, char **argv) {
  char *end = NULL;
  long files = argc == 3 ? strtol(argv[2], &end, 10) : 0;
  if (argc != 3 || *end || files < 1 || files > MAX_FILES || strlen(argv[1]) > 4000) {
    fprintf(stderr, "usage: sample_data DIR FILES\n");
    return 2;
  }
  LZ4F_preferences_t preferences = {
      .frameInfo = {.blockSizeID = LZ4F_max256KB, .contentSize = VALUES * sizeof(float)}};
  size_t capacity = LZ4F_compressFrameBound(VALUES * sizeof(float), &preferences);
  float *values = malloc(VALUES * sizeof(float));
  void *frame = malloc(capacity);
  int failed = !values || !frame;
  if (mkdir(argv[1], 0777) != 0 && errno != EEXIST) failed = 1;
  for (long i = 0; i < files && !failed; i++) {
    char path[4100];
    struct stat st;
    snprintf(path, sizeof path, "%s/%04ld.f32.lz4", argv[1], i);
    if (stat(path, &st) == 0 && st.st_size > 0) continue;
    fill(values, (uint64_t)i);
    size_t size =
        LZ4F_compressFrame(frame, capacity, values, VALUES * sizeof(float), &preferences);
    failed = LZ4F_isError(size) || write_file(path, frame, size) != 0;
  }
  free(values);
  free(frame);
  if (failed) fprintf(stderr, "sample_data: could not write to %s: %s\n", argv[1], strerror(errno));
  return failed;
}
