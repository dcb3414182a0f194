/* core/seams/os.h on Linux: what this process may use and what it uses, as the small text files of /proc and
 * of its cgroups tell it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/os_linux.h"

/* ---- small files ---- */

int lsi_linux_read_text(const char *path, char *buf, size_t cap) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t n = 0;
  ssize_t got;
  while (n < cap - 1 && (got = read(fd, buf + n, cap - 1 - n)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      close(fd);
      return -1;
    }
    n += (size_t)got;
  }
  close(fd);
  while (n && buf[n - 1] == '\n') n--;
  buf[n] = 0;
  return (int)n;
}

bool lsi_linux_read_number(const char *path, uint64_t *out) {
  char text[64], *end;
  if (lsi_linux_read_text(path, text, sizeof text) <= 0) return false;
  errno = 0;
  unsigned long long v = strtoull(text, &end, 10);
  if (end == text || text[0] == '-' || errno) return false;
  *out = v;
  return true;
}

/* ---- cgroups ---- */

/* "12:cpu,cpuacct:/path" with the controller, or "0::/path" when controller is NULL. */
static bool cgroup_path(const char *controller, char *out, size_t cap) {
  char text[8192];
  if (lsi_linux_read_text("/proc/self/cgroup", text, sizeof text) < 0) return false;
  for (char *line = text, *next; line && *line; line = next) {
    next = strchr(line, '\n');
    if (next) *next++ = 0;
    char *names = strchr(line, ':');
    char *path = names ? strchr(names + 1, ':') : NULL;
    if (!path) continue;
    *path++ = 0;
    names++;
    bool hit = false;
    if (!controller) {
      hit = !*names;
    } else {
      for (char *p = names; p && *p && !hit; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        hit = strncmp(p, controller, strlen(controller)) == 0 &&
              (p[strlen(controller)] == ',' || !p[strlen(controller)]);
    }
    if (hit) return (size_t)snprintf(out, cap, "%s", path) < cap;
  }
  return false;
}

/* The value of one limit file. cpu: thousandths of a CPU. "max" and -1 are no limit. */
static uint64_t limit_value(const char *dir, const char *file) {
  char path[4352], text[128];
  if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path) return UINT64_MAX;
  if (lsi_linux_read_text(path, text, sizeof text) <= 0) return UINT64_MAX;
  if (text[0] == 'm' || text[0] == '-') return UINT64_MAX;
  uint64_t v = strtoull(text, NULL, 10);
  if (strncmp(file, "cpu", 3) != 0) return v >= (uint64_t)INT64_MAX / 4096 * 4096 ? UINT64_MAX : v;
  uint64_t period = 0;
  const char *space = strchr(text, ' ');
  if (space) {
    period = strtoull(space + 1, NULL, 10);
  } else if (snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir) < (int)sizeof path) {
    lsi_linux_read_number(path, &period);
  }
  return period && v <= UINT64_MAX / 1000 ? v * 1000 / period : UINT64_MAX;
}

/* Calls fn for this process's directory under `mount` and each of its parents. A container without
 * its own cgroup namespace sees itself at the mount. */
static void each_group(const char *mount, const char *group,
                       void (*fn)(void *ctx, const char *dir), void *ctx) {
  char dir[4352];
  int n = snprintf(dir, sizeof dir, "%s%s", mount, strcmp(group, "/") ? group : "");
  if (n < 0 || n >= (int)sizeof dir) return;
  size_t floor = strlen(mount);
  for (;;) {
    fn(ctx, dir);
    char *slash = strrchr(dir, '/');
    if (strlen(dir) <= floor || !slash) return;
    *slash = 0;
    if (strlen(dir) < floor) return;
  }
}

struct limit_search {
  const char *file;
  uint64_t least;
};

static void find_limit(void *ctx, const char *dir) {
  struct limit_search *s = ctx;
  s->least = LSI_MIN(s->least, limit_value(dir, s->file));
}

uint64_t lsi_linux_cgroup_limit(const char *v2, const char *controller, const char *v1) {
  char group[4096], mount[128];
  struct limit_search s = {v2, UINT64_MAX};
  if (cgroup_path(NULL, group, sizeof group)) each_group("/sys/fs/cgroup", group, find_limit, &s);
  s.file = v1;
  snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
  if (cgroup_path(controller, group, sizeof group)) each_group(mount, group, find_limit, &s);
  return s.least;
}

/* ---- memory, as groups and the system count it ---- */

uint64_t lsi_os_memory_cgroup_limit(void) {
  return lsi_linux_cgroup_limit("memory.max", "memory", "memory.limit_in_bytes");
}

/* A line "name value" of memory.stat. */
static uint64_t stat_field(const char *text, const char *name) {
  size_t n = strlen(name);
  for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
    if (strncmp(p, name, n) == 0 && p[n] == ' ') return strtoull(p + n + 1, NULL, 10);
  return 0;
}

struct room {
  const char *max, *current, *inactive;
  uint64_t least;
};

/* What a group leaves: its limit less what it uses, where file pages that can go count as free. */
static void find_room(void *ctx, const char *dir) {
  struct room *r = ctx;
  uint64_t max = limit_value(dir, r->max), used;
  char path[4400], text[16384];
  if (max == UINT64_MAX) return;
  snprintf(path, sizeof path, "%s/%s", dir, r->current);
  if (!lsi_linux_read_number(path, &used)) return;
  snprintf(path, sizeof path, "%s/memory.stat", dir);
  uint64_t inactive =
      lsi_linux_read_text(path, text, sizeof text) > 0 ? stat_field(text, r->inactive) : 0;
  used = used > inactive ? used - inactive : 0;
  r->least = LSI_MIN(r->least, max > used ? max - used : 0);
}

/* "Name:   123 kB" of /proc/meminfo or /proc/self/status, in bytes; 0 = not there. */
static uint64_t kb_field(const char *path, const char *name) {
  char text[8192];
  if (lsi_linux_read_text(path, text, sizeof text) <= 0) return 0;
  size_t n = strlen(name);
  for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
    if (strncmp(p, name, n) == 0 && p[n] == ':') return strtoull(p + n + 1, NULL, 10) * 1024;
  return 0;
}

uint64_t lsi_os_memory_available(void) {
  uint64_t free_bytes = kb_field("/proc/meminfo", "MemAvailable");
  if (!free_bytes)
    free_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
  char group[4096];
  struct room r = {"memory.max", "memory.current", "inactive_file", free_bytes};
  if (cgroup_path(NULL, group, sizeof group)) each_group("/sys/fs/cgroup", group, find_room, &r);
  r.max = "memory.limit_in_bytes";
  r.current = "memory.usage_in_bytes";
  r.inactive = "total_inactive_file";
  if (cgroup_path("memory", group, sizeof group))
    each_group("/sys/fs/cgroup/memory", group, find_room, &r);
  return r.least;
}

uint64_t lsi_os_memory_used(void) {
  /* Of no peak does the kernel tell what was of files: VmHWM has them, and what was mapped of sources. */
  uint64_t own = kb_field("/proc/self/status", "RssAnon");
  if (own) return own + kb_field("/proc/self/status", "RssShmem");
  return kb_field("/proc/self/status", "VmRSS"); /* before Linux 4.5 */
}
