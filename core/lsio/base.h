/* Sizes, the version, visibility: for the headers behind lsio.h. */
#ifndef LSIO_BASE_H
#define LSIO_BASE_H

#include <stddef.h>
#include <stdint.h>

#define LSIO_VERSION_MAJOR 0
#define LSIO_VERSION_MINOR 1
#define LSIO_VERSION_PATCH 0

#if defined(LSIO_BUILD)
#define LSIO_API __attribute__((visibility("default")))
#else
#define LSIO_API
#endif

#ifdef __cplusplus
#define LSIO_BEGIN extern "C" {
#define LSIO_END }
#else
#define LSIO_BEGIN
#define LSIO_END
#endif

#endif
