// Cargo wants a target; nothing is compiled.
