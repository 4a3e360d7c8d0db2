"""What people did, in a database: events, the lists they were shown, studies; and how it becomes interactions."""
