/* Jobs whose deadline passes while their steps run, on machines of any speed. As api_job.h. */
#ifndef LSI_TEST_LATE_JOB_H
#define LSI_TEST_LATE_JOB_H

#include "api_job.h"

/* Two workers take ten seconds for a thousand of these. */
#define SLOW(work, more)                                                              \
  API_HEAD " state = 'double n;', reduce = { n = 'sum' },\n"                          \
  " transform = function(chunk, state)\n"                                             \
  "  local t = os.clock() while os.clock() - t < 0.02 do end\n"                       \
  "  state.n = state.n + 1\n" work " end,\n" more " }\n"
#define COPY "  for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end"
#define TELL "  return tostring(chunk.index)"

/* lsio_submit. */
lsio_job *late_try(const char *script, uint32_t flags, const char *const *settings, size_t n, int *rc,
                   lsio_error **error);
/* A job that is too late: as soon as it may be without being so before it has begun. */
lsio_job *late_submit(const char *script, uint32_t flags, bool skip, float *output);
/* All of the words are in the text. */
void late_says(const char *text, const char *const *words);
/* Steps that do not return are interrupted; else they are left behind. */
bool late_interrupts(void);
/* What has run stands where it belongs, and `fill` everywhere else. */
void late_check_values(const float *got, uint64_t ran);
/* Ends a job whose deadline has left some of its steps, and interrupted so many at most; how many have run. */
uint64_t late_ends_interrupted(lsio_job *job, uint64_t most);
/* A step of 20 ms may take so long on a busy machine that it is interrupted. */
uint64_t late_ends_in_part(lsio_job *job);

#endif
