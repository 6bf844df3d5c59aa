/* The explanation as a picture: one self-contained SVG. */
#ifndef EXPLAIN_PICTURE_H
#define EXPLAIN_PICTURE_H

#include "contributions.h"
#include "model.h"
#include "routes.h"

/* Dies where `path` cannot be written. */
void picture_write(const char *path, const struct model *model, const struct contributions *contributions,
                   const struct routes *routes);

#endif
