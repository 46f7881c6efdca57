"""What lrbench is compared with, each written as a user of that library would write it."""
