/* both_tmpl.h -- the bodies in the file SQI_TMPL for both precisions.
 *
 * They are written once against `real` and OF_REAL(name) and come out as name_f32, name_f64. */

#define real float
#define OF_REAL(name) name##_f32
#include SQI_TMPL
#undef real
#undef OF_REAL

#define real double
#define OF_REAL(name) name##_f64
#include SQI_TMPL
#undef real
#undef OF_REAL
#undef SQI_TMPL
