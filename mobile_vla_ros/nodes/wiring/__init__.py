"""What every node needs: starting and ending, parameters, topics, messages, shared frames."""
