/* JSON numbers to the nearest double, ties to even: what every correctly rounding parser finds, to the bit. */

#ifndef AESTREAM_NUMBER_H
#define AESTREAM_NUMBER_H

#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MOST_DIGITS = 19, MOST_POWER = 27, LONGEST = 64 }; /* 10^19 - 1 and 5^27 fit into 64 bits */

static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Append up to eight digits at `p`, of which eight bytes can be read -> how many there were. Without branches: how many
 * digits the next number has, no processor can guess. */
static inline int append(const unsigned char *p, uint64_t *digits) {
  static const uint64_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  uint64_t bytes;
  memcpy(&bytes, p, 8);
  bytes ^= 0x3030303030303030ull; /* digits are 0 to 9 now, all others more */
  uint64_t others = ((bytes + 0x7676767676767676ull) | bytes) & 0x8080808080808080ull;
  int count = others ? __builtin_ctzll(others) / 8 : 8;
  bytes = count ? bytes << (64 - 8 * count) : 0;
  bytes = bytes * 10 + (bytes >> 8); /* pairs, then fours, then all eight (Lemire 2022) */
  bytes = (((bytes & 0x000000ff000000ffull) * 0x000f424000000064ull) +
           (((bytes >> 16) & 0x000000ff000000ffull) * 0x0000271000000001ull)) >>
          32;
  *digits = *digits * tens[count] + bytes;
  return count;
}
#define APPEND append
#endif

static inline int is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

/* digits * 10^power, correctly rounded, for digits > 0. Returns 0 where that takes more than 128 bits. */
static int scaled(uint64_t digits, int power, double *value) {
  if (digits <= (1ull << 53) && power >= -22 && power <= 22) { /* one exact operation on exact numbers (Clinger 1990) */
    *value = power < 0 ? (double)digits / TENS[-power] : (double)digits * TENS[power];
    return 1;
  }
#ifdef __SIZEOF_INT128__
  if (power >= -MOST_POWER && power <= MOST_POWER) {
    uint64_t five = 1, top;
    int sticky, shift = __builtin_clzll(digits);
    for (int i = power < 0 ? -power : power; i > 0; i--) five *= 5;
    if (power < 0) { /* a quotient of at least 63 bits, and whether anything is left of it */
      int under = __builtin_clzll(five);
      unsigned __int128 dividend = (unsigned __int128)(digits << shift) << 63;
      uint64_t divisor = five << under;
      top = (uint64_t)(dividend / divisor);
      sticky = dividend % divisor != 0;
      shift = under - shift - 63;
    } else { /* the first 64 bits of the product, and whether any other is set */
      unsigned __int128 product = (unsigned __int128)(digits << shift) * five;
      int over = (uint64_t)(product >> 64) ? __builtin_clzll((uint64_t)(product >> 64)) : 64;
      product <<= over;
      top = (uint64_t)(product >> 64);
      sticky = (uint64_t)product != 0;
      shift = 64 - over - shift;
    }
    /* at least 63 bits are rounded to 53: what is below the last of them only has to be known as not nothing */
    *value = ldexp((double)(top | (uint64_t)sticky), shift + power);
    return 1;
  }
#endif
  return 0;
}

/* Append the digits at `p` -> their end. */
static inline const unsigned char *append_all(const unsigned char *p, const unsigned char *end, uint64_t *digits) {
#ifdef APPEND
  while (end - p >= 8) {
    int count = APPEND(p, digits);
    p += count;
    if (count < 8) return p;
  }
#endif
  for (; p < end && is_digit(*p); p++) *digits = *digits * 10 + (*p - '0');
  return p;
}

/* How many digits there are between `p` and `end`, but for zeros before them all; a point is none. */
static int significant(const unsigned char *p, const unsigned char *end) {
  int count = 0;
  for (; p < end && count <= MOST_DIGITS; p++) count += *p != '.' && (count || *p != '0');
  return count;
}

/* What Python makes of the number without a sign between `p` and `end`: NaN or infinite where that is not certain. */
static double by_python(const unsigned char *p, const unsigned char *end) {
  char copy[LONGEST + 1];
  if (end - p > LONGEST) return NAN;
  memcpy(copy, p, (size_t)(end - p));
  copy[end - p] = 0;
  double found = PyOS_string_to_double(copy, NULL, NULL);
  if (PyErr_Occurred()) return PyErr_Clear(), NAN;
  return found;
}

/* Pass over a number at `p` -> its end, or NULL where there is none. `value` is not finite where it is not certain. */
static const unsigned char *number(const unsigned char *p, const unsigned char *end, double *value) {
  uint64_t digits = 0;
  int power = 0, whole = 1;
  if (p >= end) return NULL;
  int negative = *p == '-';
  const unsigned char *first = p += negative, *last;
  last = p = append_all(p, end, &digits);
  if (p == first || ((p - first > 1) & (*first == '0'))) return NULL;
  if (p < end && *p == '.') {
    last = append_all(++p, end, &digits);
    if (last == p) return NULL;
    power = last - p > LONGEST ? -LONGEST : -(int)(last - p);
    p = last;
    whole = 0;
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    int below = 0, exponent = 0;
    p++;
    if (p < end && (*p == '+' || *p == '-')) below = *p++ == '-';
    if (p >= end || !is_digit(*p)) return NULL;
    for (; p < end && is_digit(*p); p++)
      if (exponent < 1000) exponent = exponent * 10 + (*p - '0');
    power += below ? -exponent : exponent;
    whole = 0;
  }
  double size = 0.0;
  if (last - first > LONGEST)
    size = NAN;
  else if (last - first > MOST_DIGITS && significant(first, last) > MOST_DIGITS) /* `digits` has wrapped around */
    size = by_python(first, p);
  else if (digits && !scaled(digits, power, &size))
    size = by_python(first, p);
  else if (!digits && negative && whole) /* an integer has no -0 */
    size = NAN;
  *value = copysign(size, negative ? -1.0 : 1.0);
  return p;
}

#endif
