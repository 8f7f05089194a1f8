/* Flat JSON objects to a matrix of numbers, whole batches at once.
 *
 * A row is `read` only where its bytes are surely valid JSON and hold just what the columns expect. Whoever calls this
 * decodes all others in another way, which is slower and knows why they are wrong.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#include "names.h"
#include "number.h"
#include "skip.h"

enum { OPTIONAL = 1, BOOLEAN = 2 }; /* of a column: it may be missing; it holds true or false */

/* What is asked of every record. `seen` has, for each column, the last row with it, from 1. */
typedef struct {
  Names names;
  const unsigned char *columns;
  Py_ssize_t *seen;
} Wanted;

/* Read a column's value at `p` -> its end, or NULL. */
static const unsigned char *value_at(const unsigned char *p, const unsigned char *end, int column, double *value) {
  const unsigned char *after;
  if (p < end && *p == 'n' && column & OPTIONAL) return *value = NAN, word(p, end, "null");
  if (!(column & BOOLEAN)) return (after = number(p, end, value)) && isfinite(*value) ? after : NULL;
  if ((after = word(p, end, "true"))) return *value = 1.0, after;
  return *value = 0.0, word(p, end, "false");
}

/* Pass over a name whose quote is before `p` -> what follows its end, or NULL.
 * `place` is the likely column before, and the column with this name after, -1 for none. */
static inline const unsigned char *expected(const Names *names, Py_ssize_t *place, const unsigned char *p,
                                            const unsigned char *end) {
  if (*place < names->count) { /* records of one producer have their fields in one order */
    const Name *likely = &names->names[*place];
    if (end - p > likely->length && p[likely->length] == '"' && !memcmp(p, likely->bytes, (size_t)likely->length))
      return p + likely->length + 1;
  }
  int plain;
  const unsigned char *after = text(p, end, &plain);
  if (!after || !plain) return NULL;
  *place = place_of(names, (const char *)p, after - 1 - p);
  return after;
}

/* Read one record into the d numbers of `row`, the `number`th from 1 -> whether it was as expected. */
static int record(const unsigned char *p, const unsigned char *end, Wanted *wanted, Py_ssize_t number, double *row) {
  Py_ssize_t next = 0, found = 0;
  p = spaces(p, end);
  if (p >= end || *p != '{') return 0;
  p = spaces(p + 1, end);
  if (p >= end || *p != '}') {
    for (;;) {
      if (p >= end || *p != '"') return 0;
      Py_ssize_t place = next;
      if (!(p = expected(&wanted->names, &place, p + 1, end))) return 0;
      p = spaces(p, end);
      if (p >= end || *p != ':') return 0;
      p = spaces(p + 1, end);
      if (place < 0) {
        p = skip(p, end, 0);
      } else {
        if (wanted->seen[place] == number) return 0; /* twice */
        wanted->seen[place] = number;
        p = value_at(p, end, wanted->columns[place], &row[place]);
        next = place + 1;
        found++;
      }
      if (!p) return 0;
      p = spaces(p, end);
      if (p < end && *p == '}') break;
      if (p >= end || *p != ',') return 0;
      p = spaces(p + 1, end);
    }
  }
  if (spaces(p + 1, end) != end) return 0;
  for (Py_ssize_t i = 0; found < wanted->names.count && i < wanted->names.count; i++) {
    if (wanted->seen[i] == number) continue;
    if (!(wanted->columns[i] & OPTIONAL)) return 0;
    row[i] = NAN;
  }
  return 1;
}

/* Read so many values -> how many are read, -1 with an exception set. */
static Py_ssize_t records(PyObject *values, Py_ssize_t count, Wanted *wanted, Py_ssize_t most, double *matrix,
                          unsigned char *read) {
  Py_ssize_t done = 0;
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *value = PyList_GetItem(values, i);
    char *bytes;
    Py_ssize_t size;
    if (!value) return -1;
    read[i] = 0;
    if (!PyBytes_Check(value)) continue;
    if (PyBytes_AsStringAndSize(value, &bytes, &size) < 0) return -1;
    if (size > most) continue;
    unsigned char *p = (unsigned char *)bytes;
#ifdef AESTREAM_EXACT_COPIES /* for sanitizers: behind a bytes object there is a zero that must not be read either */
    p = malloc((size_t)size);
    if (size) memcpy(p, bytes, (size_t)size);
#endif
    read[i] = (unsigned char)record(p, p + size, wanted, i + 1, matrix + i * wanted->names.count);
#ifdef AESTREAM_EXACT_COPIES
    free(p);
#endif
    done += read[i];
  }
  return done;
}

PyDoc_STRVAR(numbers_doc,
             "numbers(values, names, columns, max_bytes, matrix, read) -> int\n\n"
             "Read the fields `names` (d,), a tuple of str, of JSON objects in `values` (n,), a list of bytes or None.\n\n"
             "`columns` (d,), bytes, has of each 1 if it may be missing, plus 2 if it is true or false. Fills the\n"
             "C-contiguous float64 `matrix` (n, d), and sets `read` (n,), bytes, to 1 for each row that it has read\n"
             "and to 0 for the others, whose numbers mean nothing. Returns how many it has read.");

static PyObject *numbers(PyObject *Py_UNUSED(module), PyObject *arguments) {
  PyObject *values, *names;
  const char *columns;
  Py_ssize_t width, most, done = -1;
  Py_buffer matrix = {0}, read = {0};
  Wanted wanted = {0};
  if (!PyArg_ParseTuple(arguments, "O!O!y#nw*w*", &PyList_Type, &values, &PyTuple_Type, &names, &columns, &width, &most,
                        &matrix, &read))
    return NULL;
  Py_ssize_t rows = PyList_Size(values);
  Py_ssize_t each = width * (Py_ssize_t)sizeof(double); /* bytes of a row */
  if (!width || PyTuple_Size(names) != width || read.len != rows || matrix.len % each || matrix.len / each != rows ||
      (uintptr_t)matrix.buf % _Alignof(double)) {
    PyErr_SetString(PyExc_ValueError, "names, columns, matrix and read do not fit each other");
  } else if (take_names(&wanted.names, names)) {
    wanted.columns = (const unsigned char *)columns;
    wanted.seen = PyMem_Calloc((size_t)width + 1, sizeof(Py_ssize_t));
    if (wanted.seen)
      done = records(values, rows, &wanted, most, matrix.buf, read.buf);
    else
      PyErr_NoMemory();
  }
  PyMem_Free(wanted.seen);
  forget(&wanted.names);
  PyBuffer_Release(&matrix);
  PyBuffer_Release(&read);
  return done < 0 ? NULL : PyLong_FromSsize_t(done);
}

static PyMethodDef methods[] = {{"numbers", numbers, METH_VARARGS, numbers_doc}, {NULL, NULL, 0, NULL}};

/* The number of what `numbers` takes and does: aestream uses only an interface that it knows. */
enum { INTERFACE = 1 };

static int add_constants(PyObject *module) { return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE); }

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)add_constants}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "aestream_speedups", "Flat JSON objects to a matrix of numbers.", 0, methods, slots, 0, 0, 0};

PyMODINIT_FUNC PyInit_aestream_speedups(void) { return PyModuleDef_Init(&definition); }
