"""Speech made from text by other synthesizers, to learn from: texts, speakers, and the run that joins them."""
