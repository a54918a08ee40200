/* Numeric kernels for the census of superinstructions: floats, 64-bit integers, hashing, sorting. They train; the kernels of
   benches/kernels are other programs and are held out. Never run by a test: only its operators count. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define EXPORT(name) __attribute__((export_name(#name))) name

static double a[4096], b[4096], c[4096];
static float fa[4096], fb[4096];
static u64 words[4096];
static u32 ints[4096];
static u8 bytes[65536];
static u64 state = 88172645463325252ull;
static int counters[8];

void EXPORT(lu)(int n) {
    for (int k = 0; k < n; k++)
        for (int i = k + 1; i < n; i++) {
            double f = a[i * n + k] / a[k * n + k];
            a[i * n + k] = f;
            for (int j = k + 1; j < n; j++) a[i * n + j] -= f * a[k * n + j];
        }
}
void EXPORT(fft)(int n, double theta) {
    for (int len = 2; len <= n; len <<= 1) {
        double wr = 1 - theta * len, wi = theta;
        for (int i = 0; i < n; i += len) {
            double cr = 1, ci = 0;
            for (int j = 0; j < len / 2; j++) {
                int p = i + j, q = p + len / 2;
                double xr = a[q] * cr - b[q] * ci, xi = a[q] * ci + b[q] * cr;
                a[q] = a[p] - xr; b[q] = b[p] - xi;
                a[p] += xr; b[p] += xi;
                double t = cr * wr - ci * wi;
                ci = cr * wi + ci * wr; cr = t;
            }
        }
    }
}
int EXPORT(julia)(int w, double kr, double ki) {
    int sum = 0;
    for (int y = 0; y < w; y++)
        for (int x = 0; x < w; x++) {
            double zr = x * 3.0 / w - 1.5, zi = y * 3.0 / w - 1.5;
            int i = 0;
            while (zr * zr + zi * zi < 4 && i < 64) {
                double t = zr * zr - zi * zi + kr;
                zi = 2 * zr * zi + ki; zr = t; i++;
            }
            bytes[(y * w + x) & 65535] = i; sum += i;
        }
    return sum;
}
double EXPORT(spectral)(int n) {
    for (int r = 0; r < 10; r++)
        for (int i = 0; i < n; i++) {
            double s = 0;
            for (int j = 0; j < n; j++) s += a[j] / ((i + j) * (i + j + 1) / 2 + i + 1);
            c[i] = s;
        }
    double d = 0;
    for (int i = 0; i < n; i++) d += c[i] * c[i];
    return __builtin_sqrt(d);
}
void EXPORT(bodies)(int n, double dt) {
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) {
            double dx = a[i] - a[j], dy = b[i] - b[j], d2 = dx * dx + dy * dy + 0.01;
            double m = dt / (d2 * __builtin_sqrt(d2));
            c[i] -= dx * m; c[j] += dx * m; a[i] += c[i] * dt; b[i] -= dy * m;
        }
}
float EXPORT(conv)(int w, int h) {
    float acc = 0;
    for (int y = 1; y < h - 1; y++)
        for (int x = 1; x < w - 1; x++) {
            float s = 0;
            for (int k = -1; k <= 1; k++)
                for (int l = -1; l <= 1; l++) s += fa[(y + k) * w + x + l] * fb[(k + 1) * 3 + l + 1];
            fa[y * w + x] = s > 1 ? 1 : s; acc += s;
        }
    return acc;
}
u64 EXPORT(xorshift)(int n) {
    u64 sum = 0;
    for (int i = 0; i < n; i++) {
        state ^= state >> 12; state ^= state << 25; state ^= state >> 27;
        sum += state * 2685821657736338717ull;
    }
    return sum;
}
u64 EXPORT(pcg)(int n, u64 s) {
    u64 out = 0;
    for (int i = 0; i < n; i++) {
        s = s * 6364136223846793005ull + 1442695040888963407ull;
        u32 x = (u32)(((s >> 18) ^ s) >> 27), r = (u32)(s >> 59);
        out += (x >> r) | (x << (-r & 31));
    }
    return out;
}
#define ROT(x, k) ((x) << (k) | (x) >> (64 - (k)))
u64 EXPORT(sip)(int n, u64 k0, u64 k1) {
    u64 v0 = k0 ^ 0x736f6d6570736575ull, v1 = k1 ^ 0x646f72616e646f6dull, v2 = k0 ^ 0x6c7967656e657261ull,
        v3 = k1 ^ 0x7465646279746573ull;
    for (int i = 0; i < n; i++) {
        u64 m = words[i];
        v3 ^= m;
        for (int r = 0; r < 2; r++) {
            v0 += v1; v1 = ROT(v1, 13); v1 ^= v0; v0 = ROT(v0, 32);
            v2 += v3; v3 = ROT(v3, 16); v3 ^= v2;
            v0 += v3; v3 = ROT(v3, 21); v3 ^= v0;
            v2 += v1; v1 = ROT(v1, 17); v1 ^= v2; v2 = ROT(v2, 32);
        }
        v0 ^= m;
    }
    return v0 ^ v1 ^ v2 ^ v3;
}
u64 EXPORT(murmur)(int n) {
    u64 h = 1;
    for (int i = 0; i < n; i++) {
        u64 k = words[i] * 0xc6a4a7935bd1e995ull;
        k ^= k >> 47; h ^= k * 0xc6a4a7935bd1e995ull; h *= 0xc6a4a7935bd1e995ull;
    }
    return h;
}
u32 EXPORT(crc)(int n) {
    u32 r = ~0u;
    for (int i = 0; i < n; i++) {
        r ^= bytes[i];
        for (int k = 0; k < 8; k++) r = r >> 1 ^ (0xedb88320u & -(r & 1));
    }
    return ~r;
}
u32 EXPORT(adler)(int n) {
    u32 s = 1, t = 0;
    for (int i = 0; i < n; i++) { s = (s + bytes[i]) % 65521; t = (t + s) % 65521; }
    return t << 16 | s;
}
void EXPORT(shell)(int n) {
    for (int gap = n / 2; gap > 0; gap /= 2)
        for (int i = gap; i < n; i++) {
            u32 v = ints[i]; int j = i;
            while (j >= gap && ints[j - gap] > v) { ints[j] = ints[j - gap]; j -= gap; }
            ints[j] = v;
        }
}
void EXPORT(merge)(int n) {
    for (int w = 1; w < n; w *= 2)
        for (int lo = 0; lo < n; lo += 2 * w) {
            int i = lo, j = lo + w, m = j, e = lo + 2 * w;
            for (int k = lo; k < e; k++) words[k] = i < m && (j >= e || words[i] <= words[j]) ? words[i++] : words[j++];
        }
}
u64 EXPORT(modpow)(u64 base, u64 e, u64 m) {
    u64 r = 1;
    while (e) { if (e & 1) r = r * base % m; base = base * base % m; e >>= 1; }
    return r;
}
u64 EXPORT(gcds)(u64 n) {
    u64 s = 0;
    for (u64 i = 1; i < n; i++) { u64 x = i, y = n; while (y) { u64 t = x % y; x = y; y = t; } s += x; }
    return s;
}
int EXPORT(queens)(int n, u32 cols, u32 d1, u32 d2) {
    u32 free = ~(cols | d1 | d2) & ((1u << n) - 1); int s = cols == (1u << n) - 1;
    while (free) { u32 bit = free & -free; free ^= bit; s += queens(n, cols | bit, (d1 | bit) << 1, (d2 | bit) >> 1); }
    return s;
}
int EXPORT(count)(int n) {
    for (int i = 0; i < n; i++) {
        counters[bytes[i] & 7]++;
        if (bytes[i] > 127) state += bytes[i]; else state ^= (u64)i << 3;
    }
    return counters[3];
}
int EXPORT(machine)(int steps) {
    int pc = 0, acc = 0, x = 1, y = 2;
    for (int i = 0; i < steps; i++) switch (bytes[pc++ & 1023] & 15) {
        case 0: acc += x; break; case 1: acc -= y; break; case 2: x = acc; break; case 3: y = acc ^ x; break;
        case 4: if (acc & 1) pc += 3; break; case 5: ints[x & 1023] = acc; break; case 6: acc = ints[y & 1023]; break;
        case 7: pc = acc; break; case 8: acc = acc * 31 + 7; break; case 9: x++; break; default: y--; }
    return acc;
}
int EXPORT(find)(int n, int m) {
    for (int i = 0; i + m <= n; i++) { int j = 0; while (j < m && bytes[i + j] == bytes[j + 40000]) j++; if (j == m) return i; }
    return -1;
}
