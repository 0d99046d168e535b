"""The parts of bench/questions.py: traffic, its writer, its sequencer, questions and DuckDB."""
