"""What open tabs are sent, as fast as each of them takes it and no faster."""
