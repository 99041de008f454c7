"""The pages, and the script that makes one of them."""
