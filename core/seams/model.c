#include "seams/model.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)

/* Bandwidth and operations a second are what a good queue reaches, not what a data sheet promises for
 * the first second. The gap worth reading through is their quotient. */
static const struct lsi_device_model presets[LSI_DEVICE_KINDS] = {
    /* PCIe 4 drives: 7 GB/s and 1 M random reads a second (data sheets of 2021-2024); gap 7 KB. */
    [LSI_DEVICE_NVME] = {.bandwidth = 7e9, .ops_per_s = 1e6, .latency_s = 80e-6, .op_max = 1 * MIB,
                         .merge_max = 1 * MIB, .align = 4096, .concurrency = 64},
    /* A cloud machine's virtio disk, measured: 2.5-2.7 GB/s at 1 MiB, 110-150k 4 KiB reads a second
     * with O_DIRECT (medians of 112 k on bad days); gap 24 KB. Merged operations of 512 KiB served 10 %
     * more ranges a second than of 1 MiB: as fast to read, and half as much to keep in the cache. */
    [LSI_DEVICE_VIRTUAL] = {.bandwidth = 2.6e9, .ops_per_s = 110e3, .latency_s = 150e-6,
                            .op_max = 1 * MIB, .merge_max = 512 * KIB, .align = 4096,
                            .concurrency = 32},
    /* SATA: the link gives 550 MB/s, NCQ's 32 commands about 90k reads a second; gap 6 KB. */
    [LSI_DEVICE_SSD] = {.bandwidth = 550e6, .ops_per_s = 90e3, .latency_s = 120e-6,
                        .op_max = 1 * MIB, .merge_max = 1 * MIB, .align = 4096,
                        .concurrency = 32},
    /* 200 MB/s on the outer tracks and 8 ms for a seek with half a turn; gap 1.6 MB. */
    [LSI_DEVICE_HDD] = {.bandwidth = 200e6, .ops_per_s = 125, .latency_s = 8e-3, .op_max = 4 * MIB,
                        .merge_max = 8 * MIB, .align = 4096, .concurrency = 8},
    /* NFS and SMB over 10 Gbit/s: 1.1 GB/s, round trips of 0.5 ms, about 16 slots in use; rsize is
     * 1 MiB at most; gap 34 KB. */
    [LSI_DEVICE_NETWORK_FS] = {.bandwidth = 1.1e9, .ops_per_s = 32e3, .latency_s = 500e-6,
                               .op_max = 1 * MIB, .merge_max = 1 * MIB, .align = 4096,
                               .concurrency = 16},
    /* S3-like: about 90 MB/s and 30 ms to the first byte on each connection, behind a link of 10 Gbit/s;
     * 8 MiB parts are the knee. A request costs 20 us of CPU. */
    [LSI_DEVICE_OBJECT_STORE] = {.bandwidth = 1.25e9, .ops_per_s = 1 / 20e-6,
                                 .latency_s = 30e-3, .op_max = 8 * MIB, .merge_max = 8 * MIB,
                                 .align = 1, .concurrency = 256, .cap = 256, .connections = 256,
                                 .conn_bandwidth = 90e6},
    /* A web server in the same region: 60 MB/s and 20 ms on each connection. */
    [LSI_DEVICE_HTTP] = {.bandwidth = 1.25e9, .ops_per_s = 1 / 20e-6, .latency_s = 20e-3,
                         .op_max = 8 * MIB, .merge_max = 4 * MIB, .align = 1, .concurrency = 256,
                         .cap = 256, .connections = 256, .conn_bandwidth = 60e6},
    /* tmpfs and buffers: a call costs 0.2 us, a copy runs at 10 GB/s; gap 2 KB. */
    [LSI_DEVICE_MEMORY] = {.bandwidth = 10e9, .ops_per_s = 5e6, .latency_s = 0.2e-6,
                           .op_max = 1 * MIB, .merge_max = 256 * KIB, .align = 1,
                           .concurrency = 1},
};

void lsi_device_preset(enum lsi_device_kind kind, struct lsi_device_model *out) {
  if ((unsigned)kind >= LSI_DEVICE_KINDS) kind = LSI_DEVICE_SSD;
  *out = presets[kind];
  out->kind = (uint8_t)kind;
}

const char *lsi_device_kind_name(enum lsi_device_kind kind) {
  static const char *const names[LSI_DEVICE_KINDS] = {
      [LSI_DEVICE_NVME] = "nvme",
      [LSI_DEVICE_VIRTUAL] = "virtual",
      [LSI_DEVICE_SSD] = "ssd",
      [LSI_DEVICE_HDD] = "hdd",
      [LSI_DEVICE_NETWORK_FS] = "network_fs",
      [LSI_DEVICE_OBJECT_STORE] = "object_store",
      [LSI_DEVICE_HTTP] = "http",
      [LSI_DEVICE_MEMORY] = "memory",
  };
  return (unsigned)kind < LSI_DEVICE_KINDS ? names[kind] : "unknown";
}

uint64_t lsi_device_gap(const struct lsi_device_model *m) {
  if (m->connections) return m->gap;
  if (!(m->bandwidth > 0) || !(m->ops_per_s > 0)) return 0;
  const double gap = m->bandwidth / m->ops_per_s;
  return gap < 0x1p62 ? (uint64_t)gap : UINT64_C(1) << 62;
}

bool lsi_device_adds(const struct lsi_device_model *m) {
  switch (m->kind) {
  case LSI_DEVICE_HDD:
  case LSI_DEVICE_NETWORK_FS:
  case LSI_DEVICE_OBJECT_STORE:
  case LSI_DEVICE_HTTP:
    return true;
  default:
    return false;
  }
}

uint32_t lsi_device_busy_at(const struct lsi_device_model *m, double op_bytes) {
  double rate = m->ops_per_s; /* of operations of this size, by Little's law times their latency */
  if (m->bandwidth > 0 && op_bytes > 0) rate = LSI_MIN(rate, m->bandwidth / op_bytes);
  const double flying = rate * m->latency_s;
  if (!(flying > 1)) return 1;
  return flying < m->concurrency ? (uint32_t)flying : LSI_MAX(m->concurrency, 1u);
}

double lsi_device_seconds(const struct lsi_device_model *m, double operations, double bytes) {
  if (m->connections) {
    const double each = m->latency_s + (operations > 0 ? bytes / operations / m->conn_bandwidth : 0);
    const double flying = LSI_MIN((double)m->connections, operations);
    const double link = bytes / m->bandwidth, cpu = operations / m->ops_per_s;
    return operations > 0 ? LSI_MAX(each * operations / flying, m->latency_s + LSI_MAX(link, cpu)) : 0;
  }
  const double ops = m->ops_per_s > 0 ? operations / m->ops_per_s : 0;
  const double data = m->bandwidth > 0 ? bytes / m->bandwidth : 0;
  return lsi_device_adds(m) ? ops + data : LSI_MAX(ops, data);
}
