//! Nothing: this package is a list of what to fetch.
