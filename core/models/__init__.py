"""Network parts and the networks built from them."""
