"""What a listener would hear: pitch, measures and grade of a note, and sounds whose grade is known."""
