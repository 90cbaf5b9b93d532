"""What a training is worth: the scenarios side by side, on pictures that it has not seen."""
