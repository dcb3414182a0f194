/* Times the planner: a parsed request of the ranges in a .npy to sorted, merged units. Objects are
 * taken to be 4 GiB on one virtual disk; nothing is read. Prints JSON. */
#include "ground/err.h"
#include "plan/plan.h"
#include "ref.h"
#include "plan/request.h"

static void check(int code, const struct lsi_error *err) {
  if (code) ref_die("drive_plan: code %d (%s)", code, err->what);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("drive_plan RANGES.npy GAP: time from a request in memory to its plan\n", stdout);
    return argc != 2;
  }
  uint64_t n, objects = 0, requested = 0;
  const struct ref_range *r = ref_load_ranges(argv[1], &n);
  struct lsi_error err;
  lsi_error_clear(&err);
  struct lsi_request *request = lsi_request_create();
  if (!request) ref_die("out of memory");
  for (uint64_t i = 0; i < n; ++i) objects = r[i].object >= objects ? r[i].object + 1u : objects;
  for (uint64_t i = 0; i < objects; ++i) {
    char name[32];
    uint32_t index;
    const struct lsi_object_info info = {.size = UINT64_C(4) << 30, .version = {i + 1}, .device = 1};
    snprintf(name, sizeof name, "object%" PRIu64, i);
    check(lsi_request_add_object(request, name, &info, &index, &err), &err);
  }
  for (uint64_t i = 0; i < n; ++i) {
    requested += r[i].length;
    check(lsi_request_add_chunk(request, r[i].object, (int64_t)r[i].offset, r[i].length, 0, &err),
          &err);
  }
  struct lsi_device_model model;
  lsi_device_preset(LSI_DEVICE_VIRTUAL, &model);
  request->object_device = calloc(objects, sizeof *request->object_device);
  const struct lsi_plan_options options = {.merge = ref_size(argv[2]), .n_devices = 1,
                                           .devices = &model};
  struct lsi_plan *plan;
  const double t0 = ref_now(), c0 = ref_cpu();
  check(lsi_plan_build(request, &options, &plan, &err), &err);
  const double wall = ref_now() - t0, cpu = ref_cpu() - c0;
  if (plan->bytes_requested != requested) ref_die("the plan has lost ranges");
  char more[128];
  snprintf(more, sizeof more, ", \"units\": %u, \"operations_before\": %" PRIu64, plan->n_units,
           plan->operations_before);
  ref_print(wall, cpu, plan->operations, plan->bytes_planned, more);
  return 0;
}
