/* Passing over JSON that nobody asked for. What is passed is valid: anything less common is left to another decoder. */

#ifndef AESTREAM_SKIP_H
#define AESTREAM_SKIP_H

#include <Python.h>
#include <string.h>

#include "number.h"

enum { DEEPEST = 16 };

static const unsigned char *skip(const unsigned char *p, const unsigned char *end, int depth);

static inline const unsigned char *spaces(const unsigned char *p, const unsigned char *end) {
  while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
  return p;
}

/* Pass over the four digits of \u at `p` -> the last of them, or NULL: also for surrogates, as half a pair is nothing. */
static const unsigned char *character(const unsigned char *p, const unsigned char *end) {
  if (end - p < 4) return NULL;
  for (int i = 0; i < 4; i++)
    if (!is_digit(p[i]) && !((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')) return NULL;
  return (p[0] | 0x20) == 'd' && p[1] >= '8' ? NULL : p + 3;
}

/* Pass over a text whose quote is before `p` -> what follows its end, or NULL. `plain`: it holds no escapes. */
static const unsigned char *text(const unsigned char *p, const unsigned char *end, int *plain) {
  const unsigned char *from = p;
  int ascii = 1;
  *plain = 1;
  for (; p < end && *p != '"'; p++) {
    if (*p < 0x20) return NULL;
    if (*p >= 0x80) ascii = 0;
    if (*p != '\\') continue;
    *plain = 0;
    if (++p < end && *p == 'u')
      p = character(p + 1, end);
    else if (p >= end || !*p || !strchr("\"\\/bfnrt", *p))
      return NULL;
    if (!p) return NULL;
  }
  if (p >= end) return NULL;
  if (!ascii) {
    PyObject *whole = PyUnicode_DecodeUTF8((const char *)from, p - from, "strict");
    if (!whole) return PyErr_Clear(), NULL;
    Py_DECREF(whole);
  }
  return p + 1;
}

static const unsigned char *word(const unsigned char *p, const unsigned char *end, const char *wanted) {
  size_t length = strlen(wanted);
  return (size_t)(end - p) >= length && !memcmp(p, wanted, length) ? p + length : NULL;
}

/* Pass over the members of an object or the elements of an array, whose bracket is before `p`. */
static const unsigned char *inside(const unsigned char *p, const unsigned char *end, int depth, unsigned char closing) {
  int plain;
  p = spaces(p, end);
  if (p < end && *p == closing) return p + 1;
  while (p < end) {
    if (closing == '}') {
      if (*p != '"' || !(p = text(p + 1, end, &plain))) return NULL;
      p = spaces(p, end);
      if (p >= end || *p != ':') return NULL;
      p = spaces(p + 1, end);
    }
    if (!(p = skip(p, end, depth))) return NULL;
    p = spaces(p, end);
    if (p < end && *p == closing) return p + 1;
    if (p >= end || *p != ',') return NULL;
    p = spaces(p + 1, end);
  }
  return NULL;
}

/* Pass over any value at `p` -> its end, or NULL where it is not surely valid. */
static const unsigned char *skip(const unsigned char *p, const unsigned char *end, int depth) {
  double value;
  int plain;
  if (p >= end || depth >= DEEPEST) return NULL;
  switch (*p) {
    case '"': return text(p + 1, end, &plain);
    case '{': return inside(p + 1, end, depth + 1, '}');
    case '[': return inside(p + 1, end, depth + 1, ']');
    case 't': return word(p, end, "true");
    case 'f': return word(p, end, "false");
    case 'n': return word(p, end, "null");
    default: p = number(p, end, &value); return p && isfinite(value) ? p : NULL;
  }
}

#endif
