/* The plan in words (--explain): what job_prepare knows of it, and guesses at what decoding and writing
 * will take. A guess only has to tell which of the parts is the slowest by far. */
#include "api/context.h"
#include "job/price.h"
#include "plan/explain.h"
#include "seams/os.h"

/* Bytes that one core decodes to in a second, in the cache: measured with liblz4 1.9 (3.1 GB/s), zstd 1.5
 * (0.45 GB/s of data that shrinks to half) and blosc 1.21 with lz4 and shuffle (2.4 GB/s) on a Xeon. */
static const double decode_rates[] = {[LSI_CODEC_NONE] = 0,
                                      [LSI_CODEC_LZ4] = 3.1e9,
                                      [LSI_CODEC_LZ4_BLOCK] = 3.1e9,
                                      [LSI_CODEC_ZSTD] = 0.45e9,
                                      [LSI_CODEC_BLOSC] = 2.4e9};

/* A result that is made durable waits for its data, the file system's journal and the disk's cache. */
#define SYNC_LATENCIES 4

/* Bytes of all elements. Where a codec does not say, as much as is usual; `decoded` may be a cap that
 * chunks do not reach. */
static double element_bytes(const struct lsio_job *job) {
  const struct lsi_spec *s = &job->spec;
  const double stored = (double)job->plan->bytes_requested;
  if (s->codec == LSI_CODEC_NONE) return stored;
  const double most = (double)s->decoded * s->request->n_chunks;
  const double usual = stored * LSI_USUAL_RATIO;
  return s->decoded ? LSI_MIN(most, 4 * usual) : usual;
}

static double sink_seconds(const struct lsio_job *job, double elements) {
  const struct lsi_spec *s = &job->spec;
  struct lsi_device_model m;
  if (s->sink.kind != LSI_SINK_NPY && s->sink.kind != LSI_SINK_RAW) return 0;
  lsi_os_output_model(s->sink.path, &m);
  const double count = elements / (double)lsi_type_size(s->type.type);
  const double writing = count * (double)lsi_type_size(job->sink_type.type) / m.bandwidth;
  return s->sink.durability == LSI_DURABLE_EACH
             ? writing + s->request->n_steps * m.latency_s * SYNC_LATENCIES
             : writing;
}

const char *lsio_job_explain(lsio_job *job, int json) {
  char **text = json ? &job->explain_json : &job->explain_text;
  if (*text) return *text;
  const double elements = element_bytes(job), rate = decode_rates[job->spec.codec];
  const struct lsi_explain_input in = {
      .plan = job->plan,
      .request = job->spec.request,
      .workers = job->workers,
      .memory = (uint64_t)job->workers * job->share + job->window,
      .backend = job->backend->name,
      .queue_depth = job->settings.queue_depth,
      .decode_s = rate > 0 ? elements / (rate * job->workers) : 0,
      .sink_s = sink_seconds(job, elements),
      .transform = job->spec.transform != NULL};
  *text = json ? lsi_explain_json(&in) : lsi_explain_text(&in);
  return *text;
}
