//! Moves messages along routes between module instances and upstream.
