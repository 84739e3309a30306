"""What belongs to the trial manager: what it hears, keeps, and says to other nodes."""
