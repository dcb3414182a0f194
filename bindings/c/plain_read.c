/* Ranges of a file, read into memory of the program's, one behind the other, without Lua; to stdout:
 *   plain_read FILE OFFSET:LENGTH...       a negative OFFSET counts from the end */
#include <inttypes.h>
#include <lsio.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 1000

int main(int argc, char **argv) {
  int64_t offset[MOST], length[MOST], total = 0;
  size_t n = 0;
  for (int i = 2; i < argc && n < MOST; i++, n++) {
    char end;
    const int found = sscanf(argv[i], "%" SCNd64 ":%" SCNd64 "%c", &offset[n], &length[n], &end);
    if (found != 2 || length[n] < 0 || length[n] > (1 << 30) || (total += length[n]) > (1 << 30)) {
      fprintf(stderr, "'%s' is no range OFFSET:LENGTH, or beyond 1 GiB\n", argv[i]);
      return 2;
    }
  }
  if (argc < 2 || n < (size_t)argc - 2) {
    fprintf(stderr, "plain_read FILE OFFSET:LENGTH..., at most %d of them\n", MOST);
    return 2;
  }
  char *memory = malloc((size_t)total + 1);
  const char *const objects[] = {argv[1]};
  uint32_t object[MOST] = {0}; /* which of the objects each range is of */
  const struct lsio_request_options ranges = {.struct_size = sizeof ranges, .objects = objects,
                                              .n_objects = 1, .n = n, .object = object, .offset = offset,
                                              .length = length};
  struct lsio_job_options options = {.struct_size = sizeof options, .output = memory,
                                     .output_length = (size_t)total};
  lsio_context *context = NULL;
  lsio_request *request = NULL;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  int status = memory ? lsio_context_create(NULL, &context, &error) : LSIO_ERR_NOMEM;
  if (status == 0) status = lsio_request_create(&ranges, &request, &error);
  options.request = request;
  if (status == 0) status = lsio_submit(context, &options, &job, &error);
  if (status == 0) status = lsio_wait(job, -1);
  const lsio_error *why = job ? lsio_job_error(job) : error;
  if (status != 0) fprintf(stderr, "%s\n", why ? lsio_error_message(why) : lsio_strerror(status));
  lsio_error_free(error);
  lsio_job_release(job); /* it has ended: the memory is the program's alone */
  lsio_request_release(request);
  lsio_context_destroy(context);
  if (status == 0 && fwrite(memory, 1, (size_t)total, stdout) != (size_t)total) status = LSIO_ERR_IO;
  free(memory);
  return status != 0;
}
