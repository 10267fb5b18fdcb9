"""What a job rests on and leaves: code, inputs, records, the manifest; knows no statistics."""
