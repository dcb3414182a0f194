/* Device models: the numbers from which the planner prices operations. */
#ifndef LSI_MODEL_H
#define LSI_MODEL_H

#include "ground/base.h"

enum lsi_device_kind {
  LSI_DEVICE_NVME,
  LSI_DEVICE_VIRTUAL, /* a virtual disk: NVMe-like bandwidth, far fewer operations a second */
  LSI_DEVICE_SSD,
  LSI_DEVICE_HDD,
  LSI_DEVICE_NETWORK_FS,
  LSI_DEVICE_OBJECT_STORE,
  LSI_DEVICE_HTTP,
  LSI_DEVICE_MEMORY, /* tmpfs, mem: reading a hole costs as much as reading data */
  LSI_DEVICE_KINDS
};

struct lsi_device_model {
  uint8_t kind;          /* enum lsi_device_kind */
  double bandwidth;      /* bytes/s */
  double ops_per_s;      /* small operations a second at good concurrency */
  double latency_s;      /* of one small operation */
  uint64_t op_max;       /* bytes: longer chunks are split into operations of this size */
  uint64_t merge_max;    /* bytes: merging stops at operations of this size */
  uint32_t align;        /* bytes: operations cost as if rounded out to this */
  uint32_t concurrency;  /* operations in flight that it takes to be busy */
  uint32_t cap;          /* most operations in flight; 0 = no limit known */
  uint32_t connections;  /* 0: none. Else each operation has one of so many to itself for as long as it takes,
                            ops_per_s is what the CPU can make of them, and the planner chooses `gap` */
  double conn_bandwidth; /* bytes/s of one of them */
  uint64_t gap;          /* with connections: the longest gap worth reading through */
};

/* Constants: measurements and data sheets, see core/README.md. */
void lsi_device_preset(enum lsi_device_kind kind, struct lsi_device_model *out);
const char *lsi_device_kind_name(enum lsi_device_kind kind);
/* The longest gap worth reading through: bandwidth / ops_per_s, or what was chosen. */
uint64_t lsi_device_gap(const struct lsi_device_model *m);
/* Does an operation's latency occupy what also moves the bytes (a disk's arm, a connection), so that
 * times add up? Otherwise (flash, memory) they overlap and the longer one counts. */
bool lsi_device_adds(const struct lsi_device_model *m);
/* Operations of so many bytes in flight, at least 1, that keep it busy: with fewer its latency is bare. */
uint32_t lsi_device_busy_at(const struct lsi_device_model *m, double op_bytes);
/* Seconds that a device at good concurrency takes. */
double lsi_device_seconds(const struct lsi_device_model *m, double operations, double bytes);

#endif
