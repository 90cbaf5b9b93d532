"""Erasures: the receipts of deleted subjects, down to the bundles that were trained with them."""
