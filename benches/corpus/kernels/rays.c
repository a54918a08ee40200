// Rays: an image of n by n pixels of 24 balls over a chequered plane, one light with shadows, up to three reflections. Single
// precision, square roots, branches on comparisons of floats.
#include "kernel.h"

enum { BALLS = 24 };

struct vector {
    float x, y, z;
};
struct ball {
    struct vector centre;
    float radius, shine;
};

static struct ball balls[BALLS];

static struct vector along(struct vector a, struct vector b, float t) {
    return (struct vector){a.x + b.x * t, a.y + b.y * t, a.z + b.z * t};
}
static float dot(struct vector a, struct vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static struct vector unit(struct vector a) {
    float scale = 1 / __builtin_sqrtf(dot(a, a));
    return (struct vector){a.x * scale, a.y * scale, a.z * scale};
}

// The distance to a ball along a ray, or a negative number.
static float distance(const struct ball *ball, struct vector from, struct vector direction) {
    struct vector to = along(from, ball->centre, -1);
    float b = dot(to, direction), c = dot(to, to) - ball->radius * ball->radius, inside = b * b - c;
    return inside < 0 ? -1 : -b - __builtin_sqrtf(inside);
}

static float trace(struct vector from, struct vector direction, int reflections) {
    static const struct vector light = {0.48f, 0.8f, -0.36f};
    float nearest = 1e9f, shine = 0.1f, colour = 0.9f;
    int hit = -1;
    for (int i = 0; i < BALLS; i++) {
        float t = distance(&balls[i], from, direction);
        if (t > 0.001f && t < nearest) nearest = t, hit = i;
    }
    if (direction.y < 0 && -from.y / direction.y < nearest) nearest = -from.y / direction.y, hit = BALLS;
    if (hit < 0) return 0.3f + 0.5f * direction.y;
    struct vector at = along(from, direction, nearest), normal = {0, 1, 0};
    if (hit < BALLS) {
        normal = unit(along(at, balls[hit].centre, -1));
        shine = balls[hit].shine;
    } else {
        colour = ((int)__builtin_floorf(at.x) + (int)__builtin_floorf(at.z)) & 1 ? 0.2f : 0.8f;
    }
    float lit = dot(normal, light);
    for (int i = 0; lit > 0 && i < BALLS; i++)
        if (distance(&balls[i], at, light) > 0.001f) lit = 0;
    colour *= 0.2f + (lit > 0 ? 0.8f * lit : 0);
    if (!reflections) return colour;
    struct vector mirrored = along(direction, normal, -2 * dot(direction, normal));
    return colour * (1 - shine) + shine * trace(along(at, mirrored, 0.001f), mirrored, reflections - 1);
}

RUN int64_t run(int32_t n) {
    for (int i = 0; i < BALLS; i++) {
        float radius = 0.2f + (float)random_below(100) * 0.006f;
        balls[i].centre = (struct vector){(float)random_below(800) * 0.01f - 4, radius + (float)random_below(200) * 0.01f,
                                          3 + (float)random_below(800) * 0.01f};
        balls[i].radius = radius;
        balls[i].shine = (float)random_below(3) * 0.3f;
    }
    uint64_t sum = 0;
    for (int32_t y = 0; y < n; y++) {
        for (int32_t x = 0; x < n; x++) {
            struct vector eye = {0, 1.5f, -3};
            struct vector through = {(float)(2 * x - n) / (float)n, (float)(n - 2 * y) / (float)n - 0.2f, 1.6f};
            sum = mix(sum, (uint64_t)(int64_t)(trace(eye, unit(through), 3) * 255));
        }
    }
    return (int64_t)sum;
}
