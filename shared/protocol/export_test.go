package protocol

import "flag"

// Update says that golden files are to be written anew.
var Update = flag.Bool("update", false, "rewrite the golden files")
