/* The fields that are asked for, found by the bytes of their names. */

#ifndef AESTREAM_NAMES_H
#define AESTREAM_NAMES_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  const char *bytes;
  Py_ssize_t length;
} Name;

/* `places`: `mask` + 1 slots for hashes, -1 where there is none, else the place of a name. */
typedef struct {
  Py_ssize_t count;
  Name *names;
  Py_ssize_t *places;
  size_t mask;
} Names;

static inline size_t hash(const char *bytes, Py_ssize_t length) { /* FNV-1a */
  uint32_t found = 2166136261u;
  for (Py_ssize_t i = 0; i < length; i++) found = (found ^ (unsigned char)bytes[i]) * 16777619u;
  return found;
}

static inline int same(const Name *name, const char *bytes, Py_ssize_t length) {
  return name->length == length && !memcmp(name->bytes, bytes, (size_t)length);
}

/* The place of a name, -1 if it is none of them. */
static Py_ssize_t place_of(const Names *of, const char *bytes, Py_ssize_t length) {
  for (size_t slot = hash(bytes, length) & of->mask; of->places[slot] >= 0; slot = (slot + 1) & of->mask)
    if (same(&of->names[of->places[slot]], bytes, length)) return of->places[slot];
  return -1;
}

static void forget(Names *of) {
  PyMem_Free(of->names);
  PyMem_Free(of->places);
}

/* Whether a name is written in JSON as it is. */
static int as_it_is(const char *bytes, Py_ssize_t length) {
  for (Py_ssize_t i = 0; i < length; i++)
    if ((unsigned char)bytes[i] < 0x20 || bytes[i] == '"' || bytes[i] == '\\') return 0;
  return 1;
}

/* Take names from a tuple of str, which must outlive them. Returns 0 with an exception set where they cannot be had. */
static int take_names(Names *of, PyObject *tuple) {
  of->count = PyTuple_Size(tuple);
  size_t slots = 4;
  while (slots < 2 * (size_t)of->count) slots *= 2;
  of->mask = slots - 1;
  of->names = PyMem_Calloc((size_t)of->count + 1, sizeof(Name));
  of->places = PyMem_Malloc(slots * sizeof(Py_ssize_t));
  if (!of->names || !of->places) return PyErr_NoMemory(), 0;
  memset(of->places, 0xff, slots * sizeof(Py_ssize_t));
  for (Py_ssize_t i = 0; i < of->count; i++) {
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(tuple, i), &length);
    if (!bytes) return 0;
    if (!as_it_is(bytes, length) || place_of(of, bytes, length) >= 0)
      return PyErr_SetString(PyExc_ValueError, "a name is there twice, or is written with escapes"), 0;
    of->names[i] = (Name){bytes, length};
    size_t slot = hash(bytes, length) & of->mask;
    while (of->places[slot] >= 0) slot = (slot + 1) & of->mask;
    of->places[slot] = i;
  }
  return 1;
}

#endif
