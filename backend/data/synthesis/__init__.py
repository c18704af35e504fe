"""Synthesis of training corpora with teacher models: texts, speakers and the run that combines them."""
