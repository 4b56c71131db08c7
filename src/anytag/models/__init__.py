"""Networks: tensors in, tensors out. No files, strings or label sets."""
