"""What arrives, compared with what a model was trained and tested on."""
