/* The store `file`, and outputs, on Linux: what is behind a device number, from sysfs, statfs and the
 * table of mounts. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ground/mem.h"
#include "linux/os_linux.h"
#include "linux/store_file.h"

#define CACHE_SLOTS 256u /* devices; a machine with more asks sysfs again */
#define NEST_MOST 8      /* disks under disks: dm on md on partitions on loop files */

/* Not in every <linux/magic.h>. */
#define MAGIC_CIFS 0xff534d42u
#define MAGIC_SMB2 0xfe534d42u
#define MAGIC_FUSE 0x65735546u
#define MAGIC_CEPH 0x00c36400u
#define MAGIC_9P 0x01021997u
#define MAGIC_LUSTRE 0x0bd00bd0u
#define MAGIC_GPFS 0x47504653u
#define MAGIC_BEEGFS 0x19830326u

/* "/sys/dev/block/8:1" + tail. False: too long. */
static bool sys_path(char *out, size_t cap, uint64_t dev, const char *tail) {
  return snprintf(out, cap, "/sys/dev/block/%u:%u%s", major((dev_t)dev), minor((dev_t)dev), tail) <
         (int)cap;
}

/* "8:0" -> device number; 0 = none. */
static uint64_t parse_device(const char *text) {
  unsigned a, b;
  return sscanf(text, "%u:%u", &a, &b) == 2 ? (uint64_t)makedev(a, b) : 0;
}

static uint64_t resolve_partition(uint64_t dev) {
  char path[128], text[64];
  if (!sys_path(path, sizeof path, dev, "/partition") || access(path, F_OK) < 0) return dev;
  /* A partition's directory lies inside that of its disk. */
  sys_path(path, sizeof path, dev, "/../dev");
  uint64_t disk = lsi_linux_read_text(path, text, sizeof text) > 0 ? parse_device(text) : 0;
  return disk ? disk : dev;
}

uint32_t lsi_linux_whole_device(uint64_t st_dev) {
  /* Both numbers of a pair in one word: readers need no lock and see either a pair or none. */
  static _Atomic uint64_t cache[CACHE_SLOTS];
  const uint64_t dev = st_dev & UINT32_MAX;
  if (major((dev_t)dev) == 0) return (uint32_t)dev;
  _Atomic uint64_t *slot = &cache[(dev * 0x9e3779b97f4a7c15u >> 32) % CACHE_SLOTS];
  uint64_t pair = atomic_load_explicit(slot, memory_order_relaxed);
  if (pair >> 32 == dev) return (uint32_t)pair;
  const uint64_t disk = resolve_partition(dev) & UINT32_MAX;
  atomic_store_explicit(slot, dev << 32 | disk, memory_order_relaxed);
  return (uint32_t)disk;
}

/* ---- from a device to the disks below it ---- */

/* The first entry of a directory that is not "." or "..". */
static bool first_entry(const char *path, char *name, size_t cap) {
  DIR *dir = opendir(path);
  if (!dir) return false;
  bool found = false;
  struct dirent *e;
  while (!found && (e = readdir(dir)))
    if (e->d_name[0] != '.') found = snprintf(name, cap, "%s", e->d_name) < (int)cap;
  closedir(dir);
  return found;
}

/* One level down: dm and md to their first member, a loop device to the disk that holds its file.
 * 0: it is a disk itself. */
static uint64_t below(uint64_t dev) {
  char path[512], text[PATH_MAX], name[256];
  if (sys_path(path, sizeof path, dev, "/slaves") && first_entry(path, name, sizeof name)) {
    snprintf(path, sizeof path, "/sys/class/block/%s/dev", name);
    if (lsi_linux_read_text(path, text, sizeof text) > 0)
      return lsi_linux_whole_device(parse_device(text));
  }
  struct stat st;
  if (sys_path(path, sizeof path, dev, "/loop/backing_file") &&
      lsi_linux_read_text(path, text, sizeof text) > 0 && stat(text, &st) == 0 &&
      major(st.st_dev) != 0)
    return lsi_linux_whole_device(st.st_dev);
  return 0;
}

static uint64_t bottom(uint64_t dev) {
  for (int i = 0; i < NEST_MOST; i++) {
    uint64_t next = below(dev);
    if (!next || next == dev) break;
    dev = next;
  }
  return dev;
}

/* The disk behind an anonymous device number such as that of btrfs: the source of its mount. */
static uint64_t mounted_disk(uint64_t dev) {
  FILE *f = fopen("/proc/self/mountinfo", "re");
  if (!f) return 0;
  char line[8192];
  uint64_t disk = 0;
  while (!disk && fgets(line, sizeof line, f)) {
    unsigned a, b;
    char source[PATH_MAX];
    if (sscanf(line, "%*u %*u %u:%u", &a, &b) != 2 || makedev(a, b) != (dev_t)dev) continue;
    const char *dash = strstr(line, " - ");
    struct stat st;
    if (dash && sscanf(dash, " - %*s %4095s", source) == 1 && source[0] == '/' &&
        stat(source, &st) == 0 && S_ISBLK(st.st_mode))
      disk = lsi_linux_whole_device(st.st_rdev);
  }
  fclose(f);
  return disk;
}

/* In a container the layers of its root can't be seen; but most machines have one disk. */
static uint64_t only_disk(void) {
  DIR *dir = opendir("/sys/block");
  if (!dir) return 0;
  uint64_t disk = 0;
  unsigned n = 0;
  struct dirent *e;
  while ((e = readdir(dir))) {
    char path[512], text[64];
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/sys/block/%s/device", e->d_name);
    if (access(path, F_OK) < 0) continue;
    snprintf(path, sizeof path, "/sys/block/%s/dev", e->d_name);
    if (lsi_linux_read_text(path, text, sizeof text) <= 0) continue;
    disk = parse_device(text);
    n++;
  }
  closedir(dir);
  return n == 1 ? disk : 0;
}

/* ---- kinds and caps ---- */

static bool contains_any(const char *text, const char *const *words, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (strstr(text, words[i])) return true;
  return false;
}

/* True when the vendor or the model names a hypervisor: its "rotational" means nothing. */
static bool hypervisor_disk(uint64_t disk) {
  static const char *const words[] = {"QEMU", "VMware", "Msft", "Virtual", "Google", "VBOX",
                                      "Elastic Block Store", "PersistentDisk", "Xen"};
  static const char *const files[] = {"/device/vendor", "/device/model"};
  for (size_t i = 0; i < LSI_COUNTOF(files); i++) {
    char path[128], text[256];
    if (sys_path(path, sizeof path, disk, files[i]) &&
        lsi_linux_read_text(path, text, sizeof text) > 0 &&
        contains_any(text, words, LSI_COUNTOF(words)))
      return true;
  }
  return false;
}

static enum lsi_device_kind disk_kind(uint64_t disk) {
  char path[128], target[PATH_MAX];
  ssize_t n = sys_path(path, sizeof path, disk, "") ? readlink(path, target, sizeof target - 1) : -1;
  target[n > 0 ? n : 0] = 0;
  const char *slash = strrchr(target, '/');
  const char *name = slash ? slash + 1 : target;
  if (strncmp(name, "zram", 4) == 0 || strncmp(name, "ram", 3) == 0 || !strncmp(name, "pmem", 4))
    return LSI_DEVICE_MEMORY;
  if (strncmp(name, "vd", 2) == 0 || strncmp(name, "xvd", 3) == 0 || hypervisor_disk(disk))
    return LSI_DEVICE_VIRTUAL;
  if (strncmp(name, "nvme", 4) == 0) return LSI_DEVICE_NVME;
  if (strncmp(name, "nbd", 3) == 0 || !strncmp(name, "rbd", 3)) return LSI_DEVICE_NETWORK_FS;
  uint64_t rotational = 0;
  sys_path(path, sizeof path, disk, "/queue/rotational");
  return lsi_linux_read_number(path, &rotational) && rotational ? LSI_DEVICE_HDD : LSI_DEVICE_SSD;
}

static uint32_t hardware_queues(uint64_t disk) {
  char path[128];
  if (!sys_path(path, sizeof path, disk, "/mq")) return 1;
  DIR *dir = opendir(path);
  if (!dir) return 1;
  uint32_t n = 0;
  struct dirent *e;
  while ((e = readdir(dir))) n += e->d_name[0] != '.';
  closedir(dir);
  return LSI_MAX(n, 1u);
}

/* What the queue takes without making the submitter sleep, and the longest request that is one. */
static void apply_queue(uint64_t disk, struct lsi_device_model *m) {
  char path[128];
  uint64_t requests, sectors_kb, block;
  sys_path(path, sizeof path, disk, "/queue/nr_requests");
  if (lsi_linux_read_number(path, &requests) && requests) {
    uint64_t cap = LSI_MIN(requests, (uint64_t)1 << 20) * hardware_queues(disk) * 3 / 4;
    m->cap = (uint32_t)LSI_MIN(LSI_MAX(cap, (uint64_t)1), (uint64_t)UINT32_MAX);
    m->concurrency = LSI_MIN(m->concurrency, m->cap);
  }
  sys_path(path, sizeof path, disk, "/queue/max_sectors_kb");
  if (lsi_linux_read_number(path, &sectors_kb) && sectors_kb >= 64 && sectors_kb < (1u << 20)) {
    m->op_max = LSI_MIN(m->op_max, sectors_kb * 1024 / LSI_ALIGN * LSI_ALIGN);
    m->merge_max = LSI_MAX(LSI_MIN(m->merge_max, m->op_max), (uint64_t)LSI_ALIGN);
  }
  sys_path(path, sizeof path, disk, "/queue/logical_block_size");
  if (lsi_linux_read_number(path, &block) && block > m->align && block <= (1u << 20))
    m->align = (uint32_t)block;
}

static bool network_magic(uint64_t magic) {
  switch (magic) {
  case NFS_SUPER_MAGIC: case MAGIC_CIFS: case MAGIC_SMB2: case MAGIC_FUSE: case MAGIC_CEPH:
  case MAGIC_9P: case MAGIC_LUSTRE: case MAGIC_GPFS: case MAGIC_BEEGFS: case AFS_SUPER_MAGIC:
    return true;
  default:
    return false;
  }
}

void lsi_file_model(const void *user, uint32_t device, const char *path, struct lsi_device_model *out) {
  (void)user;
  struct statfs fs;
  uint64_t magic = 0;
  if (path && statfs(path, &fs) == 0) magic = (uint64_t)fs.f_type & UINT32_MAX;
  if (network_magic(magic)) {
    lsi_device_preset(LSI_DEVICE_NETWORK_FS, out);
    return;
  }
  if (magic == TMPFS_MAGIC || magic == RAMFS_MAGIC || magic == HUGETLBFS_MAGIC) {
    lsi_device_preset(LSI_DEVICE_MEMORY, out);
    return;
  }
  uint64_t disk = device;
  if (major((dev_t)device) == 0) {
    disk = mounted_disk(device);
    if (!disk) disk = only_disk();
  }
  if (!disk) {
    lsi_device_preset(LSI_DEVICE_SSD, out);
    return;
  }
  uint64_t lowest = bottom(disk);
  lsi_device_preset(disk_kind(lowest), out);
  if (out->kind != LSI_DEVICE_MEMORY) apply_queue(lowest, out);
}

void lsi_os_output_model(const char *path, struct lsi_device_model *out) {
  char folder[PATH_MAX] = ".";
  const char *slash = strrchr(path, '/');
  const size_t n = slash ? (size_t)(slash - path) : 0;
  if (slash && n < sizeof folder) {
    memcpy(folder, path, n);
    folder[n] = 0;
    if (!n) memcpy(folder, "/", 2);
  }
  struct stat st;
  const bool there = stat(path, &st) == 0 && S_ISREG(st.st_mode); /* perhaps by a link to another disk */
  const uint32_t device = there || stat(folder, &st) == 0 ? lsi_linux_whole_device(st.st_dev) : 0;
  lsi_file_model(NULL, device, there ? path : folder, out);
}
