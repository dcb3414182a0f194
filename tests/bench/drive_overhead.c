/* What the engine costs by itself: steps of 4 KiB that the mem backend serves by pointer, without a
 * transform and without merging, by one worker; with --transform through one in C that does nothing but add
 * up its bytes. Meant for callgrind; --plan-only is the baseline that makes the same request and plan and
 * does not run it. Prints JSON. */
#include "api/transform.h"
#include "engine/state/engine.h"
#include "ground/mem.h"
#include "test/mem_objects.h"
#include "ref.h"

enum { OBJECT = 64 << 20, STEP = 4096 };

static void check(int code, const struct lsi_error *err) {
  if (code) ref_die("drive_overhead: code %d (%s)", code, err->what);
}

static struct lsi_request *make_request(const struct lsi_mem_object *object, uint32_t n,
                                        struct lsi_error *err) {
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = lsi_mem_info(object);
  uint32_t index;
  if (!r) ref_die("out of memory");
  check(lsi_request_add_object(r, object->name, &info, &index, err), err);
  for (uint32_t i = 0; i < n; ++i) {
    check(lsi_request_add_chunk(r, index, (int64_t)(i % (OBJECT / STEP)) * STEP, STEP, 0, err), err);
  }
  r->object_device = lsi_calloc(1, sizeof *r->object_device);
  if (!r->object_device) ref_die("out of memory");
  return r;
}

static int32_t add_bytes(const lsio_step *step, void *state) {
  *(uint64_t *)state += step->bytes;
  return 0;
}

static void run_plan(const struct lsi_run_config *config, uint32_t n) {
  struct lsi_error err;
  struct lsi_run *run;
  struct lsi_summary s = {0};
  lsi_error_clear(&err);
  const double t0 = ref_now(), c0 = ref_cpu();
  check(lsi_run_start(config, &run, &err), &err);
  check(lsi_run_join(run, &err), &err);
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  lsi_run_summary(run, &s);
  if (s.steps != n || s.steps_failed) ref_die("%" PRIu64 " steps ran, not %u", s.steps, n);
  ref_print(wall, cpu, s.operations, s.bytes_read, NULL);
  lsi_run_destroy(run);
}

int main(int argc, char **argv) {
  const bool plan_only = argc == 3 && !strcmp(argv[2], "--plan-only");
  const bool transforms = argc == 3 && !strcmp(argv[2], "--transform");
  const uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
  if (!n || (argc != 2 && !plan_only && !transforms)) {
    fputs("drive_overhead STEPS [--plan-only | --transform]: run STEPS steps of 4 KiB from memory\n", stdout);
    return 1;
  }
  struct lsi_error err;
  lsi_error_clear(&err);
  const struct lsi_mem_object object = {.name = "object", .data = ref_alloc(OBJECT), .size = OBJECT,
                                        .device = 1};
  const struct lsi_mem_objects objects = {.objects = &object, .n = 1};
  struct lsi_spec spec;
  lsi_spec_init(&spec);
  spec.type = (struct lsi_dtype){.type = LSI_U8};
  spec.identity = true;
  spec.request = make_request(&object, n, &err);
  const struct lsio_transform given = {.struct_size = sizeof given, .step = add_bytes, .state_size = 8};
  struct lsi_c_transform transform;
  lsi_c_transform_take(&transform, transforms ? &given : NULL);
  check(lsi_c_transform_use(&transform, &spec, spec.type, false, NULL, &err), &err);
  struct lsi_device_model model;
  lsi_device_preset(LSI_DEVICE_MEMORY, &model);
  const struct lsi_plan_options options = {.merge = LSI_MERGE_NEVER, .n_devices = 1,
                                           .devices = &model};
  struct lsi_plan *plan;
  check(lsi_plan_build(spec.request, &options, &plan, &err), &err);
  const struct lsi_run_config config = {.spec = &spec, .plan = plan, .stores = lsi_mem_stores,
                                        .backend = &lsi_backend_mem, .backend_user = &objects, .workers = 1,
                                        .share = 64u << 20};
  if (!plan_only) run_plan(&config, n);
  lsi_c_transform_end(&transform);
  lsi_plan_free(plan);
  lsi_spec_clear(&spec);
  free((void *)(uintptr_t)object.data);
  return 0;
}
