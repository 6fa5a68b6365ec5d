"""What is in flight, what is lost, how fast to go on. Knows no frames: tokens belong to whoever wrote them."""
