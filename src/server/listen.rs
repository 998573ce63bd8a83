//! Accepting, without parking or spinning when files run out.
